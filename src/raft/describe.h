// raft/describe.h
//
// Text for humans: messages, entries and Readys in etcd-raft's words. Scenario files, logs and
// tests use it; nothing decides on it.

#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "raft/conf_change.h"
#include "raft/raw_node.h"
#include "raft/types.h"

namespace keelson::raft {

// How the data of a normal entry prints; quoted() if none is given.
using EntryFormatter = std::function<std::string(std::string_view)>;

// In double quotes with Go's escapes.
std::string quoted(std::string_view bytes);

std::string describe(const HardState& state);
std::string describe(const SoftState& state);
std::string describe(const ConfState& state);
std::string describe(const Snapshot& snapshot);
// "transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddNode node_id:4}".
std::string describe(const ConfChangeV2& change);
// "2/14 EntryNormal "foo"": term, index, type, data.
std::string describe(const Entry& entry, const EntryFormatter& format = nullptr);
// One line each.
std::string describe(std::span<const Entry> entries, const EntryFormatter& format = nullptr);
std::string describe(const Message& message, const EntryFormatter& format = nullptr);
std::string describe(const Ready& ready, const EntryFormatter& format = nullptr);

}  // namespace keelson::raft
