# SPDX-License-Identifier: GPL-2.0-or-later
#
# lguest-py with QEMU's CPU emulation, for a machine with any container engine:
#
#   docker build -t lguest-py . && docker run --rm -it lguest-py        (podman and buildah do the same)
#
# boots the tiny Guest.  With --device /dev/kvm (and the group that may open it: --group-add) the kvm engine can be
# used, too; "docker run --rm --device /dev/kvm lguest-py doctor" says what is missing for it.
#
# BASE: an image with Debian's packages and Python 3.11 or newer.  COMMIT: what --version prints (.git is not copied).
ARG BASE=debian:12

FROM ${BASE} AS build
ARG COMMIT=
RUN apt-get update && apt-get install -y --no-install-recommends \
        python3 python3-dev python3-venv gcc binutils libc6-dev
COPY . /source
# The shipped environment has no pip: a second environment has it and installs into the first.
RUN python3 -m venv --without-pip /opt/lguest-py && python3 -m venv /opt/pip && \
    LGUEST_PY_COMMIT=${COMMIT} /opt/pip/bin/pip --python /opt/lguest-py/bin/python install --no-cache-dir \
        /source

FROM ${BASE}
# Of QEMU's packages only the emulator of 32-bit PCs is used, and of its firmware nothing.
RUN apt-get update && apt-get install -y --no-install-recommends python3 qemu-system-x86 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* \
        /usr/bin/qemu-system-x86_64* /usr/share/qemu/* /usr/share/seabios /usr/lib/ipxe && \
    useradd --create-home --uid 1000 lguest
COPY --from=build /opt/lguest-py /opt/lguest-py
ENV PATH=/opt/lguest-py/bin:/usr/local/bin:/usr/bin:/bin
USER lguest
WORKDIR /home/lguest
ENTRYPOINT ["/opt/lguest-py/bin/lguest-py"]
CMD ["boot"]
