// rpc/watch_source.h
//
// The store as one lane's watch engine reads it back.

#pragma once

#include <memory>

#include "mvcc/store.h"
#include "mvcc/watch/types.h"
#include "node/node.h"

namespace keelson::rpc {

// `slot` is the lane's; node and slot outlive the source.
std::unique_ptr<watch::WatchSource> make_watch_source(node::Node& node, mvcc::ReaderSlot& slot);

}  // namespace keelson::rpc
