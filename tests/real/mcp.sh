# SPDX-License-Identifier: MIT
# Where an MCP server and the SDK come from: the npm registry, in the versions of mcp/package-lock.json,
# once for a build tree. A script sources this and calls need_mcp.
# shellcheck shell=sh

mcp=${DUPLEX_BUILD:?}/tests/real/mcp

skip_mcp() {
    echo "skipped: $1: $2"
    exit 77
}

unreachable='ENOTFOUND|EAI_AGAIN|ECONN|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|network|CERT'

skip_unreachable() {
    skip_mcp "$1" "the npm registry cannot be reached"
}

# need_mcp NAME: have the packages in $mcp/node_modules, or leave the test NAME as skipped.
need_mcp() {
    for program in node npm; do
        command -v $program >/dev/null || skip_mcp "$1" "$program is not installed"
    done
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] ||
        skip_mcp "$1" "node is older than version 18"
    mkdir -p "$mcp"
    # Another test may be at it.
    exec 7>"$mcp/lock"
    flock 7
    if ! cmp -s "$DUPLEX_SOURCE/tests/real/mcp/package-lock.json" "$mcp/installed.json"; then
        [ -z "$(find "$mcp/unreachable" -mmin -10 2>/dev/null)" ] || skip_unreachable "$1"
        cp "$DUPLEX_SOURCE/tests/real/mcp/package.json" \
            "$DUPLEX_SOURCE/tests/real/mcp/package-lock.json" "$mcp/"
        status=0
        (cd "$mcp" && timeout -k 5 120 npm ci --cache "$mcp/cache" --ignore-scripts --no-audit \
            --no-fund --no-update-notifier --fetch-retries 1 --fetch-timeout 30000) \
            >"$mcp/npm.log" 2>&1 7>&- || status=$?
        # Who is not reached, or not known for who it is, is no fault of ours; anything else is.
        if [ $status = 124 ] || { [ $status != 0 ] && grep -qE "$unreachable" "$mcp/npm.log"; }; then
            : >"$mcp/unreachable"
            skip_unreachable "$1"
        elif [ $status != 0 ]; then
            cat "$mcp/npm.log"
            echo "failed: npm cannot install $mcp/package-lock.json"
            exit 1
        fi
        rm -rf "$mcp/cache"
        cp "$mcp/package-lock.json" "$mcp/installed.json"
    fi
    cp "$DUPLEX_SOURCE/tests/real/mcp/"*.mjs "$mcp/"
    exec 7>&-
    # shellcheck disable=SC2034 # for the script that sources this
    everything=$mcp/node_modules/@modelcontextprotocol/server-everything/dist/index.js
    # What node itself wants to say about its options is not part of a conversation.
    unset NODE_OPTIONS
    export NODE_NO_WARNINGS=1
}
