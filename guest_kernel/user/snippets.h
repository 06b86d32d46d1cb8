/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The code in snippets.S: the address of each piece in a program, and the address that its trap reports. */
#ifndef SNIPPETS_H
#define SNIPPETS_H

#define SNIPPET(name) extern const char snippet_##name[], snippet_##name##_at[]

SNIPPET(divide);
SNIPPET(debug);
SNIPPET(breakpoint);
SNIPPET(overflow);
SNIPPET(bound);
SNIPPET(undefined);
SNIPPET(no_device);
SNIPPET(load_ds);
SNIPPET(load_es);
SNIPPET(load_ss);
SNIPPET(host_jump);
SNIPPET(hlt);
SNIPPET(read_cr0);
SNIPPET(write_cr3);
SNIPPET(lidt);
SNIPPET(cli);
SNIPPET(sti);
SNIPPET(in);
SNIPPET(out);
SNIPPET(read);
SNIPPET(write);
SNIPPET(spin);
SNIPPET(jump);
SNIPPET(int_hypercall);
SNIPPET(int_clock);
SNIPPET(int_test);
SNIPPET(int_timer);
SNIPPET(int_doorbell);
SNIPPET(int_page_fault);
SNIPPET(x87);
SNIPPET(ring);
SNIPPET(read_fs);
SNIPPET(read_gs);
SNIPPET(popf);
SNIPPET(iret);
SNIPPET(in_all);
SNIPPET(out_all);
SNIPPET(stack);
SNIPPET(nt);
SNIPPET(own_stack);
SNIPPET(registers);
SNIPPET(exit);
SNIPPET(write_call);
SNIPPET(fpu_clean);

#undef SNIPPET

#endif
