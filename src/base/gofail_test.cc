#include "base/gofail.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "base/failpoint.h"

namespace keelson {
namespace {

class GofailTest : public testing::Test {
 protected:
  void TearDown() override { gofail::disarm_all(); }
  static std::string got(std::string_view target) { return gofail::answer("GET", target, "").body; }
};

TEST_F(GofailTest, AnswersAsTheGoRuntimeDoes) {
  EXPECT_EQ(gofail::answer("PUT", "/raftBeforeSave", "sleep(0)").status, 204);
  EXPECT_EQ(got("/raftBeforeSave"), "sleep(0)\n");
  EXPECT_NE(got("/").find("raftAfterSaveSnap=\nraftAfterWALRelease=\n"), std::string::npos)
      << got("/");
  EXPECT_NE(got("/").find("raftBeforeSave=sleep(0)\n"), std::string::npos) << got("/");
  EXPECT_EQ(gofail::answer("GET", "/nothing", "").status, 404);
  EXPECT_EQ(gofail::answer("PUT", "/nothing", "panic").status, 400);
  EXPECT_EQ(gofail::answer("PUT", "/raftBeforeSave", "boom").status, 400);
  EXPECT_EQ(gofail::answer("DELETE", "/raftBeforeSave", "").status, 204);
  EXPECT_EQ(gofail::answer("DELETE", "/raftBeforeSave", "").status, 400);
  EXPECT_EQ(gofail::answer("POST", "/raftBeforeSave", "").status, 405);
}

TEST_F(GofailTest, SeveralAreSetAtOnce) {
  EXPECT_EQ(gofail::answer("PUT", "/failpoints", "raftBeforeSave=off;beforeCommit=print").status,
            204);
  EXPECT_EQ(got("/raftBeforeSave"), "off\n");
  EXPECT_EQ(got("/beforeCommit"), "print\n");
  EXPECT_EQ(gofail::answer("PUT", "/failpoints", "raftBeforeSave").status, 400);
  EXPECT_EQ(gofail::answer("PUT", "/failpoints", "nothing=off").status, 400);
  EXPECT_TRUE(gofail::arm_all("nothing=off;raftAfterSave=off").ok());
  EXPECT_EQ(got("/raftAfterSave"), "off\n");
}

TEST_F(GofailTest, CostsNothingOnceAllAreDisarmed) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "off").ok());
  EXPECT_TRUE(failpoint::any_armed());
  EXPECT_EQ(gofail::answer("DELETE", "/raftBeforeSave", "").status, 204);
  EXPECT_FALSE(failpoint::any_armed());
}

TEST_F(GofailTest, FailsWithAGivenTextWhereEtcdsMayFail) {
  ASSERT_TRUE(gofail::arm("defragdbFail", "return(\"no space\")").ok());
  const absl::Status failed = KEELSON_FAILPOINT_STATUS("backend_defragment");
  EXPECT_EQ(failed, absl::UnknownError("no space"));
  ASSERT_TRUE(gofail::arm("defragdbFail", "off").ok());
  EXPECT_TRUE(KEELSON_FAILPOINT_STATUS("backend_defragment").ok());
  // Etcd's has no value there, so a return does nothing.
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "return(\"no space\")").ok());
  EXPECT_TRUE(KEELSON_FAILPOINT_STATUS("wal_before_append").ok());
}

TEST_F(GofailTest, NothingPanicsBeforeItsAnswerHasLeft) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "panic").ok());
  auto panic_behind_two_answers = [] {
    auto first = std::make_unique<gofail::PanicHold>();
    auto second = std::make_unique<gofail::PanicHold>();
    std::thread victim([] { KEELSON_FAILPOINT("wal_before_append"); });
    while (got("/raftBeforeSave/count") == "0") std::this_thread::yield();
    first.reset();
    for (int i = 0; i < 50; ++i) std::this_thread::yield();
    std::fputs("answered\n", stderr);
    second.reset();
    victim.join();
  };
  EXPECT_EXIT(panic_behind_two_answers(), testing::ExitedWithCode(2), "answered\n.*panic");
}

TEST_F(GofailTest, StrikesWhereWeDoTheSameStep) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "panic").ok());
  EXPECT_EXIT(KEELSON_FAILPOINT("wal_before_append"), testing::ExitedWithCode(2),
              "failpoint panic: raftBeforeSave");
  EXPECT_EXIT(KEELSON_FAILPOINT_STATUS("wal_before_append").IgnoreError(),
              testing::ExitedWithCode(2), "");
  KEELSON_FAILPOINT("wal_after_append");
}

TEST_F(GofailTest, CountsAndChains) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "2*sleep(1)->1*off->print").ok());
  for (int i = 0; i < 3; ++i) KEELSON_FAILPOINT("wal_before_append");
  EXPECT_EQ(got("/raftBeforeSave/count"), "3");
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "0.0%panic").ok());
  for (int i = 0; i < 100; ++i) KEELSON_FAILPOINT("wal_before_append");
  EXPECT_EQ(got("/raftBeforeSave/count"), "0");
}

TEST_F(GofailTest, SleepsForGoDurations) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "sleep(\"0.02s\")").ok());
  const auto start = std::chrono::steady_clock::now();
  KEELSON_FAILPOINT("wal_before_append");
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

TEST_F(GofailTest, LivesBesideOurOwn) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "panic").ok());
  failpoint::disarm();
  EXPECT_EXIT(KEELSON_FAILPOINT("wal_before_append"), testing::ExitedWithCode(2), "");
}

TEST_F(GofailTest, ANameMayHaveSeveralPlaces) {
  ASSERT_TRUE(gofail::arm("raftBeforeSave", "off").ok());
  KEELSON_FAILPOINT("wal_before_append");
  KEELSON_FAILPOINT("consensus_saves_nothing");
  EXPECT_EQ(got("/raftBeforeSave/count"), "2");
  const std::vector<std::string> names = gofail::names();
  EXPECT_EQ(std::ranges::count(names, "raftBeforeSave"), 1);
}

TEST_F(GofailTest, RefusesWhatItCannotRead) {
  for (const char* bad : {"", "boom", "panic(", "5%panic", "5panic", "panic->", "panicsleep(1)",
                          "1.5*off", "sleep(1)x"}) {
    EXPECT_EQ(gofail::arm("raftBeforeSave", bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  for (const char* good :
       {"panic", "panic()", "panic(\"x\")", "5.0%3*return(true)", "off->sleep(10)"}) {
    EXPECT_TRUE(gofail::arm("raftBeforeSave", good).ok()) << good;
  }
}

}  // namespace
}  // namespace keelson
