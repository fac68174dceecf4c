// interchange/database_fuzz.h
//
// What the fuzzer and the test of damage run: bytes as a database that somebody else made, read
// into a store; and what was taken, as a member opens it, written again and read again. Aborts when
// something is taken that cannot be served, or is not the same afterwards.
//
// An input that begins with 'r' is no database but records to make one of ("bucket, length, key,
// length, value", lengths in a byte), so that changes get behind the pages' structure.

#pragma once

#include <string_view>

namespace keelson::interchange {

void fuzz_database(std::string_view input);

}  // namespace keelson::interchange
