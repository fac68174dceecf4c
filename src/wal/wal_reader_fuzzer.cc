// The libFuzzer program around fuzz_wal_reader().

#include <cstddef>
#include <cstdint>

#include "wal/wal_reader_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::wal::fuzz_wal_reader({reinterpret_cast<const char*>(data), size});
  return 0;
}
