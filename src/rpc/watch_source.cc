#include "rpc/watch_source.h"

#include <algorithm>
#include <utility>

namespace keelson::rpc {
namespace {

class StoreSource final : public watch::WatchSource {
 public:
  StoreSource(node::Node& node, mvcc::ReaderSlot& slot) : node_(node), slot_(slot) {}

  int64_t compact_revision() const override {
    return std::max<int64_t>(node_.store().compact_revision(), 0);
  }

  absl::StatusOr<watch::HistorySlice> history(int64_t from, int64_t to, size_t max_bytes) override {
    absl::StatusOr<mvcc::History> read = node_.store().history(slot_, from, to, max_bytes);
    if (!read.ok()) return read.status();
    return watch::HistorySlice{std::move(read->events), read->next_revision - 1};
  }

  absl::StatusOr<Bytes> previous_kv(const mvcc::Event& event) override {
    return node_.store().previous_kv(slot_, event);
  }

  Term raft_term() const override {
    return Term(node_.state().term.load(std::memory_order_relaxed));
  }

 private:
  node::Node& node_;
  mvcc::ReaderSlot& slot_;
};

}  // namespace

std::unique_ptr<watch::WatchSource> make_watch_source(node::Node& node, mvcc::ReaderSlot& slot) {
  return std::make_unique<StoreSource>(node, slot);
}

}  // namespace keelson::rpc
