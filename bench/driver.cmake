# SPDX-License-Identifier: MIT
#
# The driver of the benchmark with duplex's own rows and the yardsticks that need nothing but libc:
# what `bench` and the command `duplex bench` have in common. Each brings its own list of peers.
# Whoever includes this has the target duplex_bench, and its files in duplex_bench_sources.
set(duplex_bench_sources)
foreach(name IN ITEMS alone busy effort figures idle latency machine measure plan report run spawn stats
        targets text peers/side peers/bytes peers/raw_stream peers/duplex peers/pool
        peers/limit_ping_pong peers/limit_memcpy)
    list(APPEND duplex_bench_sources ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
endforeach()
if(NOT TARGET duplex_bench)
    add_library(duplex_bench OBJECT ${duplex_bench_sources})
    target_include_directories(duplex_bench PUBLIC ${CMAKE_CURRENT_LIST_DIR})
    target_link_libraries(duplex_bench PUBLIC duplex_flags duplex_whole)
endif()
