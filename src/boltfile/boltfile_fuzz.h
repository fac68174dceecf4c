// boltfile/boltfile_fuzz.h
//
// What the fuzzer and the tests of damage run: bytes as a database, read in every way there is.
// Aborts when something is wrong: what verify() finds whole must read to its end, and be the same
// after it was written again.

#pragma once

#include <string_view>

namespace keelson::boltfile {

void fuzz_boltfile(std::string_view bytes);

}  // namespace keelson::boltfile
