#include "node/snap_saver.h"

#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "membership/v2_store.h"

namespace keelson::node {

SnapSaver::SnapSaver(Executor& background, Save save)
    : background_(background), save_(std::move(save)) {}

SnapSaver::~SnapSaver() { delete waiting_.load(); }

void SnapSaver::save(raft::SnapshotMetadata mark, std::shared_ptr<const membership::View> members) {
  CHECK(members != nullptr);
  if (!save_) return;
  auto work = std::make_unique<Work>(Work{std::move(mark), std::move(members)});
  const std::unique_ptr<Work> overtaken(waiting_.exchange(work.release()));
  if (!overtaken) background_.post([this] { write(); });
}

void SnapSaver::write() {
  const std::unique_ptr<Work> work(waiting_.exchange(nullptr));
  CHECK(work != nullptr);
  KEELSON_FAILPOINT("mark_without_snap_file");
  save_({.data = Bytes::copy(membership::v2_store_json(*work->members)), .metadata = work->mark});
}

}  // namespace keelson::node
