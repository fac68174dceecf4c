// net/block_pool.h
//
// Memory for nghttp2: blocks of a few sizes, kept per thread for the next use. A stream makes and
// frees some twenty small objects; with thousands of streams open at once the general allocator's
// own caches overflow and it became the largest single cost (15 % of the CPU at 1,000 connections).
//
// Threads: any; a block may be freed on another thread than its maker's.
// Bounds: each thread keeps at most kKeptBytes per size.
// With the switch of net/pools.h off every block is malloc's own.

#pragma once

#include <nghttp2/nghttp2.h>

namespace keelson::net {

// The allocator to give to a session; never freed.
nghttp2_mem* pooled_memory();

}  // namespace keelson::net
