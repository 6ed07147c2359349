/* SPDX-License-Identifier: MIT */
/*
 * The headers of a language server's messages, for WP: of any size, in any portions. The contracts
 * are in headlines.toml.
 */
#include "simple.h"

#include FRAMING
