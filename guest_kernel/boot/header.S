/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bzImage's first two sectors: the setup header, and a boot sector and setup code that print on a real machine that
 * this is a Guest. Source: Linux's boot protocol, x86, version 2.10.
 *
 * Read next: entry.S.
 */
#define CODE_ADDRESS 0x100000
#define BIOS_VIDEO    0x10
#define BIOS_TELETYPE 0x0E
#define GREY          7
#define LOADED_HIGH   0x01
#define KEEP_SEGMENTS 0x40
#define LOADER_NONE   0
#define MEMORY_NEEDED 0x700000 /* from CODE_ADDRESS on: the limit of unpack.c */

	.section .setup, "ax"
	.code16
	.org 0
	jmp refuse

	.org 0x1F1
	.byte 1          /* setup_sects, after the boot sector */
	.word 0          /* root_flags */
	.long 0          /* syssize: tools/bzimage.py */
	.word 0          /* ram_size */
	.word 0xFFFF     /* vid_mode */
	.word 0          /* root_dev */
	.word 0xAA55
	.byte 0xEB, header_end - 0x202 /* a jump over the header: its operand is the header's length */
	.ascii "HdrS"
	.word 0x020A     /* version 2.10 */
	.long 0          /* realmode_swtch */
	.word 0x1000     /* start_sys_seg */
	.word version - 0x200
	.byte LOADER_NONE
	.byte LOADED_HIGH | KEEP_SEGMENTS
	.word 0          /* setup_move_size */
	.long CODE_ADDRESS
	.long 0, 0       /* initrd: written by the loader */
	.long 0          /* bootsect_kludge */
	.word 0          /* heap_end_ptr */
	.byte 0, 0       /* ext_loader_ver, ext_loader_type */
	.long 0          /* cmd_line_ptr: written by the loader */
	.long 0xBFFFFFFF /* initrd_addr_max */
	.long 0x1000     /* kernel_alignment */
	.byte 0          /* relocatable_kernel: no */
	.byte 12         /* min_alignment, a power of two */
	.word 0          /* xloadflags */
	.long 2047       /* cmdline_size */
	.long 1          /* hardware_subarch: lguest */
	.quad 0          /* hardware_subarch_data */
	.long 0, 0       /* payload_offset, payload_length: tools/bzimage.py */
	.quad 0          /* setup_data */
	.quad CODE_ADDRESS /* pref_address */
	.long MEMORY_NEEDED
header_end:

	/* Both jumps lead here: prints the message by the BIOS's teletype service, and halts. */
refuse:
	call 1f
1:	popw %si
	addw $(message - 1b), %si
2:	movb %cs:(%si), %al
	testb %al, %al
	jz 3f
	movb $BIOS_TELETYPE, %ah
	movw $GREY, %bx
	int $BIOS_VIDEO
	incw %si
	jmp 2b
3:	hlt
	jmp 3b

message:
	.asciz "This kernel is an lguest Guest: start it by lguest-py boot.\r\n"
version:
	.asciz "lguest-py tiny Guest"
	.org 0x400

	.section .note.GNU-stack, "", @progbits
