#include "sim/watch_door.h"

#include <algorithm>
#include <utility>

#include "mvcc/watch/read_history.h"

namespace keelson::sim {
namespace {

watch::WatchOptions small_options(const node::Node& node) {
  return {.cluster = node.cluster(),
          .member = node.member(),
          .fragment_bytes = 600,
          .stream_pending = 800,
          .window_bytes = 4 << 10,
          .window_batches = 4,
          .slice_bytes = 600,
          .response_bytes = 1 << 10,
          .response_revisions = 5};
}

}  // namespace

WatchDoor::WatchDoor(node::Node& node, Executor& lane, Random& random)
    : node_(node),
      slot_(node.store().register_reader()),
      reading_(node.store().register_reader()),
      feed_(node.store().revision(), {.inbox_batches = 4, .inbox_bytes = 4 << 10}),
      watches_(lane, feed_, *this, random, small_options(node)) {}

int64_t WatchDoor::compact_revision() const {
  return std::max<int64_t>(node_.store().compact_revision(), 0);
}

// A worker's job in a server: it takes its time.
void WatchDoor::read(watch::HistoryRequest request, Done done) {
  node_.background().post([this, request = std::move(request), done = std::move(done)]() mutable {
    const watch::Elsewhere elsewhere = [&node = node_](absl::AnyInvocable<void()> task) {
      node.background().post(std::move(task));
    };
    done(watch::read_history(node_.store(), *reading_, request, elsewhere));
  });
}

std::optional<Bytes> WatchDoor::previous_in_memory(const mvcc::Event& event) {
  return node_.store().previous_kv_in_memory(*slot_, event);
}

}  // namespace keelson::sim
