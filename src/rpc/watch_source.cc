#include "rpc/watch_source.h"

#include <algorithm>
#include <utility>

#include "mvcc/watch/read_history.h"

namespace keelson::rpc {
namespace {

class StoreSource final : public watch::WatchSource {
 public:
  StoreSource(node::Node& node, mvcc::ReaderSlot& slot, LongReads& reads)
      : node_(node),
        slot_(slot),
        reads_(reads),
        elsewhere_([&reads, owner = this](absl::AnyInvocable<void()> task) {
          reads.look_back(reinterpret_cast<uintptr_t>(owner),
                          [task = std::move(task)](mvcc::ReaderSlot&) mutable { task(); });
        }) {}

  int64_t compact_revision() const override {
    return std::max<int64_t>(node_.store().compact_revision(), 0);
  }

  void read(watch::HistoryRequest request, Done done) override {
    reads_.look_back(reinterpret_cast<uintptr_t>(this),
                     [this, &store = node_.store(), request = std::move(request),
                      done = std::move(done)](mvcc::ReaderSlot& slot) mutable {
                       done(watch::read_history(store, slot, request, elsewhere_));
                     });
  }

  std::optional<Bytes> previous_in_memory(const mvcc::Event& event) override {
    return node_.store().previous_kv_in_memory(slot_, event);
  }

  Term raft_term() const override {
    return Term(node_.state().term.load(std::memory_order_relaxed));
  }

 private:
  node::Node& node_;
  mvcc::ReaderSlot& slot_;
  LongReads& reads_;
  const watch::Elsewhere elsewhere_;
};

}  // namespace

std::unique_ptr<watch::WatchSource> make_watch_source(node::Node& node, mvcc::ReaderSlot& slot,
                                                      LongReads& reads) {
  return std::make_unique<StoreSource>(node, slot, reads);
}

}  // namespace keelson::rpc
