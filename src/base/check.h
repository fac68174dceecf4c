// base/check.h
//
// CHECK(condition): an invariant of ours. It stays on in every build; when it fails we have a bug,
// so the process says where and aborts. Never for outside input (bytes from a peer, a client or a
// disk): those get a status. One condition per CHECK, so that the failing line names the fault.
// DCHECK is the same where the test itself is costly; it runs in sanitizer and simulation builds.

#pragma once

#include <string_view>

namespace keelson {

// Prints "<file>:<line>: CHECK failed: <what>" to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, std::string_view what);

}  // namespace keelson

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::keelson::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#if defined(KEELSON_COSTLY_CHECKS) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition) \
  do {                    \
    if (false) {          \
      (void)(condition);  \
    }                     \
  } while (false)
#endif
