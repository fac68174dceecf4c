// net/pools.h
//
// The switch of what net/ keeps for its next use (calls, nghttp2's blocks, output buffers). Off,
// everything is really freed and made anew, so that AddressSanitizer and valgrind see who uses what
// is gone. It is off under the sanitizers, and with KEELSON_POOLS=off in the environment.
//
// Threads: any.

#pragma once

#include <cstddef>

namespace keelson::net {

bool pools_keep();

// What a buffer may keep between its uses.
inline constexpr size_t kRoomKept = 4 << 10;

// Empties what is reused. Room beyond the usual goes: a call or connection that once held a
// megabyte must not keep it while it waits for the next one.
template <typename Container>
void empty_out(Container* container, size_t most) {
  container->clear();
  if (container->capacity() > most) Container().swap(*container);
}

}  // namespace keelson::net
