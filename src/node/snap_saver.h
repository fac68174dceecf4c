// node/snap_saver.h
//
// SnapSaver leaves a snapshot file behind a mark of the log: who the members were there, in etcd's
// words, for etcd's tools. The mark does not wait for it and is as good without: a member starts
// from its store. So a crash, or a disk that takes nothing, may leave the newest marks without one.
//
// Threads: save() from any lane; what it is made with writes on the background lane.
// Bounds: one is written at a time, and one waits, the newest: a slow disk gets fewer files.
// Lifetime: outlives what it has posted; the lane's queue goes before it does.

#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "base/executor.h"
#include "membership/cluster.h"
#include "raft/types.h"

namespace keelson::node {

class SnapSaver {
 public:
  // Waits for a disk. Whether it can be written is its own affair.
  using Save = std::function<void(const raft::Snapshot&)>;

  // `save` may be empty: there are no files then.
  SnapSaver(Executor& background, Save save);
  ~SnapSaver();

  void save(raft::SnapshotMetadata mark, std::shared_ptr<const membership::View> members);

 private:
  struct Work {
    raft::SnapshotMetadata mark;
    std::shared_ptr<const membership::View> members;
  };
  void write();

  Executor& background_;
  const Save save_;
  // Owned. While there is one, exactly one write() that will take it is on its way.
  std::atomic<Work*> waiting_{nullptr};
};

}  // namespace keelson::node
