/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The length of any instruction of 32-bit code, and where control goes after it.  It needs no more than what follows an
 * opcode: a ModRM byte with its address, and an immediate.  Source: Intel SDM vol. 2, 2.1 to 2.6 and appendix A.
 * Read next: host_kernel/native/popf.c, which follows a kernel's code.
 */
#include "host_kernel/instruction/flow.h"
#include "host_kernel/base/cpu.h"

#define WIDE    0x66
#define NARROW  0x67 /* 16-bit addresses */

/*
 * What follows each opcode, in rows of 16:
 *   .  nothing          m  ModRM             M  ModRM, 1 byte      Z  ModRM, a word (4 bytes, or 2 after 66)
 *   b  1 byte           w  2 bytes           e  3 bytes            z  a word
 *   a  an address       f  a far pointer     r  ModRM of a register, whatever its mode
 *   g  F6, and G F7: an immediate for two of eight                  p  a prefix
 *   v  C5, V  C4, E  62: ModRM, or the first byte of a VEX or EVEX prefix          x  more opcode    -  no instruction
 */
static const char one_byte[] =
	"mmmmbz..mmmmbz.x"
	"mmmmbz..mmmmbz.."
	"mmmmbzp.mmmmbzp."
	"mmmmbzp.mmmmbzp."
	"................"
	"................"
	"..EmppppzZbM...."
	"bbbbbbbbbbbbbbbb"
	"MZMMmmmmmmmmmmmm"
	"..........f....."
	"aaaa....bz......"
	"bbbbbbbbzzzzzzzz"
	"MMw.VvMZe.w..b.."
	"mmmmbb..mmmmmmmm"
	"bbbbbbbbzzfb...."
	"p.pp..gG......mm";

static const char two_byte[] =
	"mmmm-.....-.-m.M"
	"mmmmmmmmmmmmmmmm"
	"rrrr----mmmmmmmm"
	"......-.x-x-----"
	"mmmmmmmmmmmmmmmm"
	"mmmmmmmmmmmmmmmm"
	"mmmmmmmmmmmmmmmm"
	"MMMMmmm.mm--mmmm"
	"zzzzzzzzzzzzzzzz"
	"mmmmmmmmmmmmmmmm"
	"...mMmmm...mMmmm"
	"mmmmmmmmmmMmmmmm"
	"mmMmMMMm........"
	"mmmmmmmmmmmmmmmm"
	"mmmmmmmmmmmmmmmm"
	"mmmmmmmmmmmmmmmm";

struct reader {
	const u8 *bytes;
	u32 next, have;
	bool wide, narrow; /* prefixes */
};

/* The byte `ahead` of the next one; 0 beyond the end, where the length will be too long anyway. */
static u32 peek(const struct reader *in, u32 ahead)
{
	return in->next + ahead < in->have ? in->bytes[in->next + ahead] : 0;
}

/* ModRM, SIB and displacement: how many bytes.  Source: Intel SDM vol. 2, tables 2-1 to 2-3. */
static u32 modrm_bytes(const struct reader *in)
{
	u32 modrm = peek(in, 0), mode = modrm >> 6, rm = modrm & 7, bytes = 1;

	if (mode == 3)
		return bytes;
	if (in->narrow)
		return bytes + (mode == 1 ? 1 : mode == 2 || rm == 6 ? 2 : 0);
	if (rm == 4) {
		bytes++;
		rm = peek(in, 1) & 7;
	}
	return bytes + (mode == 1 ? 1 : mode == 2 || rm == 5 ? 4 : 0);
}

/* What follows an opcode of the map that a VEX or EVEX prefix names: 1 is 0F, 2 is 0F 38, 3 is 0F 3A, 5 and 6 are EVEX's. */
static char vector_operands(u32 map, u8 opcode)
{
	switch (map) {
	case 1:
		return two_byte[opcode] == 'M' ? 'M' : opcode == 0x77 ? '.' : 'm';
	case 2:
	case 5:
	case 6:
		return 'm';
	case 3:
		return 'M';
	default:
		return '-';
	}
}

/* Read the opcode, which begins with a byte of the first map; what follows it. */
static char read_opcode(struct reader *in, u8 *opcode, u32 *map)
{
	char what;
	u32 skip = 0;

	*map = 0;
	*opcode = peek(in, 0);
	in->next++;
	what = one_byte[*opcode];
	if (what == 'x') {
		*map = 1;
		*opcode = peek(in, 0);
		in->next++;
		what = two_byte[*opcode];
		if (what != 'x')
			return what;
		*map = *opcode == 0x38 ? 2 : 3;
		*opcode = peek(in, 0);
		in->next++;
		return *map == 2 ? 'm' : 'M';
	}
	if (what != 'v' && what != 'V' && what != 'E')
		return what;
	if (peek(in, 0) >> 6 != 3)
		return 'm'; /* lds, les, bound */
	*map = what == 'v' ? 1 : peek(in, 0) & (what == 'V' ? 31 : 7);
	skip = what == 'v' ? 1 : what == 'V' ? 2 : 3;
	in->next += skip;
	*opcode = peek(in, 0);
	in->next++;
	return vector_operands(*map, *opcode);
}

/* How many bytes follow the opcode; LONGEST_INSTRUCTION + 1 if there is no such instruction. */
static u32 operand_bytes(const struct reader *in, char what)
{
	u32 word = in->wide ? 2 : 4, reg = peek(in, 0) >> 3 & 7;

	switch (what) {
	case '.':
		return 0;
	case 'b':
	case 'r':
		return 1;
	case 'w':
		return 2;
	case 'e':
		return 3;
	case 'z':
		return word;
	case 'a':
		return in->narrow ? 2 : 4;
	case 'f':
		return word + 2;
	case 'm':
		return modrm_bytes(in);
	case 'M':
		return modrm_bytes(in) + 1;
	case 'Z':
		return modrm_bytes(in) + word;
	case 'g':
		return modrm_bytes(in) + (reg < 2 ? 1 : 0);
	case 'G':
		return modrm_bytes(in) + (reg < 2 ? word : 0);
	default:
		return LONGEST_INSTRUCTION + 1;
	}
}

static enum flow_kind kind_of(u32 map, u8 opcode, u32 reg)
{
	if (map == 1)
		return (opcode & 0xF0) == 0x80 ? FLOW_BRANCH : opcode == 0x0B ? FLOW_STOP : FLOW_NEXT; /* jcc, ud2 */
	if (map)
		return FLOW_NEXT;
	switch (opcode) {
	case 0x70 ... 0x7F: /* jcc */
	case 0xE0 ... 0xE3: /* loop, jecxz */
		return FLOW_BRANCH;
	case 0xE8:
		return FLOW_CALL;
	case 0xE9:
	case 0xEB:
		return FLOW_JUMP;
	case 0xC2: /* ret */
	case 0xC3:
	case 0xCA: /* lret */
	case 0xCB:
	case 0xCC: /* int3: padding, or where the kernel puts something */
	case 0xCF: /* iret */
	case 0xEA: /* ljmp */
		return FLOW_STOP;
	case 0xFF:
		return reg == 4 || reg == 5 ? FLOW_STOP : FLOW_NEXT; /* jmp, ljmp */
	default:
		return FLOW_NEXT;
	}
}

/* The last `size` bytes of an instruction as a distance from its end. */
static u32 distance(const u8 *end, u32 size)
{
	if (size == 1)
		return (u32)(s32)(signed char)end[-1];
	return end[-4] | (u32)end[-3] << 8 | (u32)end[-2] << 16 | (u32)end[-1] << 24;
}

/* False: these bytes are no instruction, or not all of one. */
bool flow_of(const u8 *bytes, u32 have, struct flow *flow)
{
	struct reader in = { bytes, 0, have < LONGEST_INSTRUCTION ? have : LONGEST_INSTRUCTION, false, false };
	u32 map;
	u8 opcode;
	char what;

	while (in.next < in.have && one_byte[bytes[in.next]] == 'p') {
		in.wide |= bytes[in.next] == WIDE;
		in.narrow |= bytes[in.next] == NARROW;
		in.next++;
	}
	what = read_opcode(&in, &opcode, &map);
	flow->length = in.next + operand_bytes(&in, what);
	if (flow->length > in.have)
		return false;
	flow->is_bare = flow->length == 1;
	flow->kind = kind_of(map, opcode, peek(&in, 0) >> 3 & 7);
	flow->target = 0;
	if (flow->kind == FLOW_BRANCH || flow->kind == FLOW_CALL || flow->kind == FLOW_JUMP) {
		if (in.wide && what == 'z')
			flow->kind = FLOW_STOP; /* cuts eip to 16 bits */
		else
			flow->target = flow->length + distance(bytes + flow->length, what == 'b' ? 1 : 4);
	}
	return true;
}
