# SPDX-License-Identifier: GPL-2.0-or-later
#
# lguest-py with QEMU's CPU emulation, for a machine with any container engine:
#
#   docker build -t lguest-py . && docker run --rm -it lguest-py
#
# boots the tiny Guest.  With --device /dev/kvm (and its group by --group-add) the kvm engine can be used too.
# Debian 12, or what --build-arg BASE= names that has Debian's packages and Python 3.11 or newer.
ARG BASE=debian:12

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        python3 python3-dev python3-venv gcc binutils libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python3 -m venv /opt/lguest-py && /opt/lguest-py/bin/pip install --no-cache-dir "/source[compression]"

FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends python3 qemu-system-x86 && \
    rm -rf /var/lib/apt/lists/* && useradd --create-home lguest
COPY --from=build /opt/lguest-py /opt/lguest-py
USER lguest
WORKDIR /home/lguest
ENTRYPOINT ["/opt/lguest-py/bin/lguest-py"]
CMD ["boot"]
