// archive/catalogue_fuzz.h
//
// What the fuzzer and a test run: bytes as the files of an archive, read as `keelutl archive list`
// and a restore read them, and as the member that goes on writing does. Aborts when what is said of
// them does not hold together.
//
// An input is a row of files, each a byte that says which and a byte of length before its content:
// 't' times, each 32 bytes of it a record that gets its sum, 'T' times as they are, 's' a
// snapshot's name in two numbers, 'l' a segment of the log, 'n' a name. 'd' begins another stretch,
// 'q' is what is asked for: a number, and in which stretch. Times are also tried as text.
//
// Threads: one caller.

#pragma once

#include <string_view>

namespace keelson::archive {

void fuzz_catalogue(std::string_view input);

}  // namespace keelson::archive
