# SPDX-License-Identifier: MIT
#
# A toolchain file: build against musl with musl-gcc, the wrapper of Debian's musl-tools. musl brings
# no kernel headers, and the host's stand among those of glibc, so they are linked into a folder of
# their own.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER musl-gcc)
set(DUPLEX_MUSL ON)

set(kernel_headers ${CMAKE_BINARY_DIR}/kernel-headers)
if(NOT EXISTS ${kernel_headers})
    execute_process(COMMAND gcc -print-multiarch OUTPUT_VARIABLE multiarch
        OUTPUT_STRIP_TRAILING_WHITESPACE)
    file(MAKE_DIRECTORY ${kernel_headers})
    foreach(folder IN ITEMS linux asm asm-generic)
        foreach(place IN ITEMS /usr/include /usr/include/${multiarch})
            if(EXISTS ${place}/${folder} AND NOT EXISTS ${kernel_headers}/${folder})
                file(CREATE_LINK ${place}/${folder} ${kernel_headers}/${folder} SYMBOLIC)
            endif()
        endforeach()
    endforeach()
endif()
set(CMAKE_C_FLAGS_INIT "-idirafter ${kernel_headers}")
