// rpc/watch_source.h
//
// The store as one lane's watch engine reads it back: what the disk may have is read by a worker.

#pragma once

#include <memory>

#include "mvcc/store.h"
#include "mvcc/watch/types.h"
#include "node/node.h"
#include "rpc/long_reads.h"

namespace keelson::rpc {

// `slot` is the lane's; node, slot and reads outlive the source.
std::unique_ptr<watch::WatchSource> make_watch_source(node::Node& node, mvcc::ReaderSlot& slot,
                                                      LongReads& reads);

}  // namespace keelson::rpc
