/**
 * @file
 * The alphabet in which byte-level tokenizers write bytes: every byte is one printable character.
 *
 *     '!'..'~', U+00A1..U+00AC, U+00AE..U+00FF    stand for themselves
 *     the 68 other bytes, in rising order         U+0100, U+0101, ...
 *
 * so 0x20 is U+0120 and 0x0A is U+010A.
 *
 * @source Radford et al., "Language models are unsupervised multitask learners", 2019 (GPT-2).
 * @thread Re-entrant: no state.
 */
#ifndef OD_TEXT_BYTE_ALPHABET_H
#define OD_TEXT_BYTE_ALPHABET_H

#include <stddef.h>
#include <stdint.h>

/** Code point that stands for `byte`. */
uint32_t od_byte_to_code(unsigned char byte);
/** Byte for which `code` stands, or -1. */
int od_code_to_byte(uint32_t code);
/** The byte that a piece like <0x0A> stands for (another way to write bytes), or -1. */
int od_byte_piece_value(const char *text, size_t size);

#endif
