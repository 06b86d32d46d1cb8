/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DEFLATE decompression. Source: RFC 1951. Huffman codes are decoded bit by bit from the number of codes of each
 * length, which is slow and small: a kernel of this size needs no speed.
 */
#include "guest_kernel/boot/boot.h"
#include <stdbool.h>

/* RFC 1951, 3.2.5 to 3.2.7. */
#define MAX_CODE_BITS 15
#define LITERALS      288 /* literals, the end of a block, lengths */
#define END_OF_BLOCK  256
#define LENGTHS       29
#define MAX_LENGTH    258
#define DISTANCES     32
#define USED_DISTANCES 30
#define CODE_LENGTHS  19
#define REPEAT_PREVIOUS 16 /* code lengths that repeat: the previous length, or zeroes */
#define REPEAT_ZERO     17

struct stream {
	const u8 *from;
	u32 bytes, read;
	u32 held, held_bits;
	u8 *to;
	u32 room, made;
	bool bad;
};

/* A Huffman code: the number of codes of each length, and the symbols in the order of their codes. */
struct code {
	u16 count[MAX_CODE_BITS + 1];
	u16 symbol[LITERALS];
};

static u32 bits(struct stream *stream, u32 count)
{
	while (stream->held_bits < count) {
		if (stream->read == stream->bytes) {
			stream->bad = true;
			return 0;
		}
		stream->held |= (u32)stream->from[stream->read++] << stream->held_bits;
		stream->held_bits += 8;
	}
	u32 value = stream->held & ((1u << count) - 1);
	stream->held >>= count;
	stream->held_bits -= count;
	return value;
}

static void build(struct code *code, const u8 *lengths, u32 symbols)
{
	u16 next[MAX_CODE_BITS + 2] = { 0 };
	for (u32 length = 0; length <= MAX_CODE_BITS; length++)
		code->count[length] = 0;
	for (u32 symbol = 0; symbol < symbols; symbol++)
		code->count[lengths[symbol]]++;
	code->count[0] = 0;
	for (u32 length = 0; length <= MAX_CODE_BITS; length++)
		next[length + 1] = next[length] + code->count[length];
	for (u32 symbol = 0; symbol < symbols; symbol++) {
		if (lengths[symbol])
			code->symbol[next[lengths[symbol]]++] = (u16)symbol;
	}
}

/* The codes of one length are consecutive; the codes of the next length start at twice the end of these. */
static u32 decode(struct stream *stream, const struct code *code)
{
	u32 value = 0, first = 0, index = 0;
	for (u32 length = 1; length <= MAX_CODE_BITS; length++) {
		u32 count = code->count[length];
		value |= bits(stream, 1);
		if (value - first < count)
			return code->symbol[index + value - first];
		index += count;
		first = (first + count) << 1;
		value <<= 1;
	}
	stream->bad = true;
	return 0;
}

static void put(struct stream *stream, u8 byte)
{
	if (stream->made == stream->room)
		stream->bad = true;
	else
		stream->to[stream->made++] = byte;
}

static void copy(struct stream *stream, u32 distance, u32 length)
{
	if (distance > stream->made)
		stream->bad = true;
	while (length-- && !stream->bad)
		put(stream, stream->to[stream->made - distance]);
}

static void stored(struct stream *stream)
{
	stream->held_bits = stream->held = 0; /* to a byte boundary: between symbols fewer than 8 bits are held */
	u32 length = bits(stream, 16), check = bits(stream, 16);
	if (length != (check ^ 0xFFFF))
		stream->bad = true;
	while (length-- && !stream->bad)
		put(stream, (u8)bits(stream, 8));
}

static void coded(struct stream *stream, const struct code *literals, const struct code *distances)
{
	u32 symbol;
	while (!stream->bad && (symbol = decode(stream, literals)) != END_OF_BLOCK) {
		if (symbol < END_OF_BLOCK) {
			put(stream, (u8)symbol);
			continue;
		}
		/* Lengths start at 3, distances at 1. After the first few, every 4th or 2nd step has one more extra bit. */
		u32 step = symbol - END_OF_BLOCK - 1, more = step < 8 ? 0 : (step >> 2) - 1;
		u32 length = step < 8 ? step + 3 : ((4 + (step & 3)) << more) + 3;
		if (step == LENGTHS - 1)
			length = MAX_LENGTH;
		else if (step >= LENGTHS)
			stream->bad = true;
		else
			length += bits(stream, more);
		step = decode(stream, distances);
		more = step < 4 ? 0 : (step >> 1) - 1;
		if (step >= USED_DISTANCES) {
			stream->bad = true;
			return;
		}
		u32 distance = step < 4 ? step + 1 : ((2 + (step & 1)) << more) + 1;
		copy(stream, distance + bits(stream, more), length);
	}
}

static void fixed(struct stream *stream)
{
	static struct code literals, distances;
	u8 lengths[LITERALS];
	for (u32 i = 0; i < LITERALS; i++)
		lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
	build(&literals, lengths, LITERALS);
	for (u32 i = 0; i < DISTANCES; i++)
		lengths[i] = 5;
	build(&distances, lengths, DISTANCES);
	coded(stream, &literals, &distances);
}

static void dynamic(struct stream *stream)
{
	static const u8 order[CODE_LENGTHS] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };
	static struct code literals, distances;
	u8 lengths[LITERALS + DISTANCES] = { 0 };
	u32 literal_count = bits(stream, 5) + 257, distance_count = bits(stream, 5) + 1, count = bits(stream, 4) + 4;
	for (u32 i = 0; i < count; i++)
		lengths[order[i]] = (u8)bits(stream, 3);
	build(&literals, lengths, CODE_LENGTHS); /* the code of the code lengths that follow */
	for (u32 i = 0; i < literal_count + distance_count && !stream->bad;) {
		u32 symbol = decode(stream, &literals), times = 1;
		u8 length = (u8)symbol;
		if (symbol >= REPEAT_PREVIOUS) {
			times = symbol == REPEAT_PREVIOUS ? 3 + bits(stream, 2) :
				symbol == REPEAT_ZERO ? 3 + bits(stream, 3) : 11 + bits(stream, 7);
			length = symbol == REPEAT_PREVIOUS && i ? lengths[i - 1] : 0;
		}
		if (times > literal_count + distance_count - i || literal_count > LITERALS) {
			stream->bad = true;
			return;
		}
		while (times--)
			lengths[i++] = length;
	}
	build(&literals, lengths, literal_count);
	build(&distances, lengths + literal_count, distance_count);
	coded(stream, &literals, &distances);
}

u32 inflate(const u8 *packed, u32 bytes, u8 *to, u32 room, u32 *used)
{
	struct stream stream = { .from = packed, .bytes = bytes, .to = to, .room = room };
	bool last = false;
	while (!last && !stream.bad) {
		last = bits(&stream, 1);
		switch (bits(&stream, 2)) {
		case 0:
			stored(&stream);
			break;
		case 1:
			fixed(&stream);
			break;
		case 2:
			dynamic(&stream);
			break;
		default:
			stream.bad = true;
		}
	}
	*used = stream.read;
	return stream.bad ? 0 : stream.made;
}
