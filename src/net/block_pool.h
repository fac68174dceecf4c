// net/block_pool.h
//
// Memory for nghttp2's HPACK: blocks of a few sizes, kept per thread for the next use. A request
// whose headers are not those of the last one makes and frees a few small objects; with thousands
// of connections the general allocator's own caches overflow.
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
