#include "node/snap_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "membership/v2_store.h"
#include "node/as_of.h"

namespace keelson::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pointee;

class Queue final : public Executor {
 public:
  void post(Task task) override { tasks_.push_back(std::move(task)); }
  void post_after(Duration, Task) override { FAIL(); }
  void run() {
    for (; !tasks_.empty(); tasks_.pop_front()) tasks_.front()();
  }

 private:
  std::deque<Task> tasks_;
};

std::shared_ptr<const membership::View> one(uint64_t id) {
  membership::View view;
  view.members.push_back({.id = MemberId(id), .peer_urls = {"http://a:1"}});
  return std::make_shared<const membership::View>(std::move(view));
}

raft::SnapshotMetadata at(uint64_t index) {
  return {.conf_state = {.voters = {MemberId(7)}}, .index = Index(index), .term = Term(2)};
}

TEST(SnapSaver, SavesTheMarkAndWhoTheMembersWere) {
  Queue lane;
  std::vector<raft::Snapshot> saved;
  SnapSaver saver(lane, [&](const raft::Snapshot& snapshot) { saved.push_back(snapshot); });
  saver.save(at(5), one(7));
  EXPECT_THAT(saved, IsEmpty());
  lane.run();
  ASSERT_EQ(saved.size(), 1u);
  EXPECT_EQ(saved[0].metadata, at(5));
  EXPECT_EQ(std::string_view(saved[0].data), membership::v2_store_json(*one(7)));
}

// A disk that is slow, or stands still, gets the newest.
TEST(SnapSaver, NoMoreThanOneWaits) {
  Queue lane;
  std::vector<uint64_t> saved;
  SnapSaver saver(lane, [&](const raft::Snapshot& snapshot) {
    saved.push_back(snapshot.metadata.index.value);
  });
  const std::shared_ptr<const membership::View> members = one(7);
  for (uint64_t i = 1; i <= 1000; ++i) saver.save(at(i), members);
  EXPECT_EQ(members.use_count(), 2);
  lane.run();
  EXPECT_THAT(saved, ElementsAre(1000));
  saver.save(at(1001), members);
  lane.run();
  EXPECT_THAT(saved, ElementsAre(1000, 1001));
  // The member ends before it is written.
  saver.save(at(1002), members);
}

TEST(AsOf, SaysWhatItWasThen) {
  AsOf<int> values;
  EXPECT_TRUE(values.empty());
  values.note(Index(10), 1);
  values.note(Index(20), 2);
  values.note(Index(30), 3);
  EXPECT_EQ(values.at(Index(9)), nullptr);
  EXPECT_THAT(values.at(Index(10)), Pointee(1));
  EXPECT_THAT(values.at(Index(19)), Pointee(1));
  EXPECT_THAT(values.at(Index(20)), Pointee(2));
  EXPECT_THAT(values.at(Index(1000)), Pointee(3));
  values.forget_before(Index(19));
  EXPECT_THAT(values.at(Index(19)), Pointee(1));
  values.forget_before(Index(25));
  EXPECT_EQ(values.at(Index(19)), nullptr);
  EXPECT_THAT(values.at(Index(25)), Pointee(2));
  values.forget_before(Index(1000));
  EXPECT_EQ(values.newest(), 3);
  values.start_over(Index(40), 4);
  EXPECT_EQ(values.at(Index(39)), nullptr);
  EXPECT_THAT(values.at(Index(40)), Pointee(4));
}

}  // namespace
}  // namespace keelson::node
