/* SPDX-License-Identifier: MIT */
/*
 * A byte that may be anything. By those values that decide where a character of a string of JSON
 * ends, the analysis goes apart; a macro, because a function's paths meet where it returns.
 */
#include <stdint.h>

#include "__fc_builtin.h"

#define MAKE_ANY(place)                                                                            \
    do {                                                                                           \
        uint8_t value = (uint8_t)Frama_C_interval(0, UINT8_MAX);                                   \
                                                                                                   \
        if (value == '"')                                                                          \
            (place) = '"';                                                                         \
        else if (value == '\\')                                                                    \
            (place) = '\\';                                                                        \
        else if (value == 'u')                                                                     \
            (place) = 'u';                                                                         \
        else                                                                                       \
            (place) = value;                                                                       \
    } while (0)
