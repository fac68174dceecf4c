// wal/wal_reader_fuzz.h
//
// What the fuzzer and the seed-corpus test both run: bytes as a one-segment log, read, repaired and
// written on. Aborts when something is wrong.

#pragma once

#include <string_view>

namespace keelson::wal {

void fuzz_wal_reader(std::string_view bytes);

}  // namespace keelson::wal
