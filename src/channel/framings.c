/* SPDX-License-Identifier: MIT */
/*
 * The framings by number and by name.
 */
#include "channel/channel.h"

#include "wire/framing.h"

#include <errno.h>
#include <string.h>

static const struct dxi_framing *const framings[] = {
    [DX_FRAMING_NATIVE] = &dxi_framing_native,
    [DX_FRAMING_LINE] = &dxi_framing_line,
    [DX_FRAMING_NUL] = &dxi_framing_nul,
    [DX_FRAMING_NETSTRING] = &dxi_framing_netstring,
    [DX_FRAMING_U8] = &dxi_framing_u8,
    [DX_FRAMING_U16] = &dxi_framing_u16,
    [DX_FRAMING_U32] = &dxi_framing_u32,
    [DX_FRAMING_PYTHON] = &dxi_framing_python,
    [DX_FRAMING_CONTENT_LENGTH] = &dxi_framing_content_length,
    [DX_FRAMING_PKT_LINE] = &dxi_framing_pkt_line,
    [DX_FRAMING_NODE] = &dxi_framing_node,
    [DX_FRAMING_RAW] = &dxi_framing_raw,
};

enum { COUNT = sizeof(framings) / sizeof(framings[0]) };

const struct dxi_framing *dxi_framing_of(dx_framing framing)
{
    return (unsigned)framing < COUNT ? framings[framing] : NULL;
}

const char *dx_framing_name(dx_framing framing)
{
    const struct dxi_framing *found = dxi_framing_of(framing);

    return found != NULL ? found->name : NULL;
}

int dx_framing_by_name(dx_framing *ret, const char *name)
{
    if (ret == NULL || name == NULL)
        return -EINVAL;
    for (unsigned i = 0; i < COUNT; i++) {
        if (strcmp(framings[i]->name, name) == 0) {
            *ret = (dx_framing)i;
            return 0;
        }
    }
    return -EINVAL;
}
