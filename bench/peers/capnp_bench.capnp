# SPDX-License-Identifier: MIT
#
# What the child of the benchmark's Cap'n Proto peer can be asked.
@0xde2cd1ac17872d11;

interface Bench {
    echo @0 (data :Data) -> (data :Data);
    take @1 (data :Data) -> stream;
    done @2 () -> ();  # answered when everything that was sent before has been taken
}
