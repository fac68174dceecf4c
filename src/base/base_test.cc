#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/errors.h"
#include "base/ids.h"
#include "base/inner_errors.h"
#include "base/random.h"
#include "base/size_text.h"
#include "base/thread_lane.h"

namespace keelson {
namespace {

TEST(Endian, BytesLieAsNamed) {
  EXPECT_EQ(big64(0x0102030405060708), "\1\2\3\4\5\6\7\10");
  EXPECT_EQ(big32(0xff000001), std::string("\xff\0\0\1", 4));
  char out[8];
  store_little64(out, 0x0102030405060708);
  EXPECT_EQ(std::string(out, 8), "\10\7\6\5\4\3\2\1");
  EXPECT_EQ(load_little64(out), 0x0102030405060708u);
  EXPECT_EQ(load_big64(out), 0x0807060504030201u);
  EXPECT_EQ(load_big32(out + 1), 0x07060504u);
}

TEST(Bytes, SlicesShareTheBlockAndOutliveTheWhole) {
  Bytes part;
  {
    Bytes whole = Bytes::copy("keelson");
    part = whole.slice(4, 3);
    EXPECT_EQ(part.data(), whole.data() + 4);
  }
  EXPECT_EQ(part.view(), "son");
}

TEST(Bytes, MoveLeavesEmpty) {
  Bytes a = Bytes::copy("x");
  Bytes b = std::move(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(b.view(), "x");
}

TEST(Crc32c, KnownValuesFromRfc3720) {
  EXPECT_EQ(crc32c::extend(0, std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c::extend(0, std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c::extend(0, "123456789"), 0xe3069283u);
}

TEST(Crc32c, PartsMakeTheWhole) {
  SeededRandom random(7);
  std::string text(1000, '\0');
  for (char& c : text) c = static_cast<char>(random.next());
  for (size_t cut = 0; cut <= text.size(); cut += 37) {
    uint32_t crc = crc32c::extend(crc32c::extend(0, text.substr(0, cut)), text.substr(cut));
    EXPECT_EQ(crc, crc32c::extend(0, text));
    uint32_t tail = crc32c::extend(0, text.substr(cut));
    EXPECT_EQ(crc32c::combine(crc32c::extend(0, text.substr(0, cut)), tail, text.size() - cut),
              crc32c::extend(0, text));
  }
}

TEST(Errors, TextsAreEtcds) {
  EXPECT_EQ(errors::Compacted().message(),
            "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(errors::Compacted().code(), absl::StatusCode::kOutOfRange);
}

TEST(ThreadLane, RunsInOrderOfPostingFromEachThread) {
  std::vector<int> seen[4];
  {
    ThreadLane lane("test");
    std::vector<std::thread> posters;
    for (int p = 0; p < 4; ++p) {
      posters.emplace_back([&, p] {
        for (int i = 0; i < 10000; ++i) lane.post([&, p, i] { seen[p].push_back(i); });
      });
    }
    for (auto& t : posters) t.join();
    lane.stop();
  }
  for (auto& s : seen) {
    ASSERT_EQ(s.size(), 10000u);
    EXPECT_TRUE(std::is_sorted(s.begin(), s.end()));
  }
}

TEST(ThreadLane, AfterBatchFollowsTheTasks) {
  std::promise<int> flushed;
  int tasks = 0;
  bool told = false;
  ThreadLane lane("test", [&] {
    if (!told) flushed.set_value(tasks);
    told = true;
  });
  lane.post([&] { ++tasks; });
  EXPECT_GE(flushed.get_future().get(), 1);
}

TEST(ThreadLane, TimersFireInOrderOfTime) {
  std::promise<void> done;
  std::vector<int> order;
  ThreadLane lane("test");
  lane.post_after(std::chrono::milliseconds(20), [&] {
    order.push_back(2);
    done.set_value();
  });
  lane.post_after(std::chrono::milliseconds(1), [&] { order.push_back(1); });
  done.get_future().get();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(SizeText, IsAsEtcdWritesIt) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(9), "9 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(1000), "1.0 kB");
  EXPECT_EQ(size_text(20480), "20 kB");
  EXPECT_EQ(size_text(82'854'982), "83 MB");
  EXPECT_EQ(size_text(8'589'934'592), "8.6 GB");
}

// To clients and in the log.
TEST(Errors, HaveOtherNamesInside) {
  EXPECT_EQ(errors::inner_text(errors::LeaseNotFound()), "lease not found");
  EXPECT_EQ(errors::inner_text(errors::AuthOldRevision()), "auth: revision in header is old");
  EXPECT_EQ(errors::inner_text(errors::NoSpace()), "etcdserver: no space");
  EXPECT_EQ(errors::inner_text(errors::Corrupt()), "etcdserver: corrupt cluster");
  EXPECT_EQ(errors::inner_text(errors::KeyNotFound()), "etcdserver: key not found");
  EXPECT_EQ(errors::inner_text(absl::OkStatus()), "");
}

}  // namespace
}  // namespace keelson
