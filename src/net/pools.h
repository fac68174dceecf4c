// net/pools.h
//
// The switch of what net/ keeps for its next use (calls, nghttp2's blocks, output buffers). Off,
// everything is really freed and made anew, so that AddressSanitizer and valgrind see who uses what
// is gone. It is off under the sanitizers, and with KEELSON_POOLS=off in the environment.
//
// Threads: any.

#pragma once

namespace keelson::net {

bool pools_keep();

}  // namespace keelson::net
