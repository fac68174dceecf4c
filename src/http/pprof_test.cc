// Profiles as pprof reads them: of time spent here, of memory as the allocator's dump has it, of
// threads; names of addresses. (On a listener: endpoint_test.cc.)

#include <google/protobuf/io/gzip_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <ctime>
#include <memory>

#include "base/text.h"
#include "http/cpu_sampler.h"
#include "http/heap_profile.h"
#include "http/symbols.h"
#include "proto/profile.pb.h"

namespace keelson::http {

// Not inlined and not local, so that it has a name to be found by.
__attribute__((noinline)) uint64_t spend_time_in_a_test(double seconds) {
  uint64_t sum = 0;
  const std::clock_t until =
      std::clock() + static_cast<std::clock_t>(seconds * static_cast<double>(CLOCKS_PER_SEC));
  while (std::clock() < until) {
    for (uint64_t i = 0; i < 100'000; ++i) sum = sum * 31 + i;
  }
  return sum;
}

namespace {

namespace pb = perftools::profiles;

pb::Profile decoded(const std::string& file) {
  google::protobuf::io::ArrayInputStream bytes(file.data(), static_cast<int>(file.size()));
  google::protobuf::io::GzipInputStream text(&bytes);
  pb::Profile profile;
  EXPECT_TRUE(profile.ParseFromZeroCopyStream(&text));
  return profile;
}

std::string name_of(const pb::Profile& profile, uint64_t location) {
  const pb::Location& at = profile.location(static_cast<int>(location) - 1);
  EXPECT_EQ(at.id(), location);
  if (at.line_size() == 0) return "";
  const pb::Function& function = profile.function(static_cast<int>(at.line(0).function_id()) - 1);
  return profile.string_table(static_cast<int>(function.name()));
}

std::string kind(const pb::Profile& profile, const pb::ValueType& type) {
  return cat(profile.string_table(static_cast<int>(type.type())), "/",
             profile.string_table(static_cast<int>(type.unit())));
}

TEST(CpuSampler, FindsWhereTimeIsSpent) {
  std::unique_ptr<CpuSampler> sampler = CpuSampler::start();
  ASSERT_NE(sampler, nullptr);
  EXPECT_EQ(CpuSampler::start(), nullptr);
  EXPECT_NE(spend_time_in_a_test(0.5), 1u);
  const pb::Profile profile = decoded(sampler->stop().encode());
  EXPECT_EQ(kind(profile, profile.sample_type(0)), "samples/count");
  EXPECT_EQ(kind(profile, profile.sample_type(1)), "cpu/nanoseconds");
  EXPECT_EQ(profile.period(), 10'000'000);
  int64_t all = 0, here = 0;
  for (const pb::Sample& sample : profile.sample()) {
    all += sample.value(1);
    bool is_here = false;
    for (uint64_t location : sample.location_id()) {
      is_here |= name_of(profile, location) == "keelson::http::spend_time_in_a_test(double)";
    }
    if (is_here) here += sample.value(1);
  }
  // Half a second, but for what the clock's coarseness takes.
  EXPECT_GT(all, 200'000'000);
  EXPECT_GT(here, all * 8 / 10);
  // Another may start now; its timer ends with it.
  sampler = CpuSampler::start();
  ASSERT_NE(sampler, nullptr);
  sampler.reset();
  EXPECT_NE(spend_time_in_a_test(0.05), 1u);
}

TEST(Symbols, NamesFunctionsOfTheProgramAndOfLibraries) {
  Symbols symbols;
  EXPECT_EQ(demangled(symbols.name_of(reinterpret_cast<uint64_t>(&spend_time_in_a_test))),
            "keelson::http::spend_time_in_a_test(double)");
  EXPECT_EQ(symbols.name_of(1), "");
  EXPECT_EQ(symbols.mapping_of(1), SIZE_MAX);
}

TEST(HeapProfile, SamplesStandForWhatTheyWereDrawnFrom) {
  const auto profile = parse_heap_dump(
      "heap_v2/524288\n"
      "  t*: 3: 1049600 [0: 0]\n"
      "  t1: 3: 1049600 [0: 0]\n"
      "@ 0x1001 0x2001\n"
      "  t*: 2: 1024 [0: 0]\n"
      "  t1: 2: 1024 [0: 0]\n"
      "@ 0x3001\n"
      "  t*: 1: 1048576 [0: 0]\n"
      "\nMAPPED_LIBRARIES:\n@ 0x1\n  t*: 9: 9 [0: 0]\n");
  ASSERT_TRUE(profile.ok()) << profile.status();
  const pb::Profile read = decoded(profile->encode());
  EXPECT_EQ(kind(read, read.sample_type(1)), "inuse_space/bytes");
  ASSERT_EQ(read.sample_size(), 2);
  // 512 bytes of which one in 1024.5 is drawn; a megabyte, which is drawn in 1 − e⁻² of all cases.
  EXPECT_EQ(read.sample(0).value(0), 2049);
  EXPECT_EQ(read.sample(0).value(1), 1'049'088);
  EXPECT_EQ(read.location(static_cast<int>(read.sample(0).location_id(0)) - 1).address(), 0x1000u);
  EXPECT_EQ(read.location(static_cast<int>(read.sample(0).location_id(1)) - 1).address(), 0x2000u);
  EXPECT_EQ(read.sample(1).value(0), 1);
  EXPECT_EQ(read.sample(1).value(1), 1'212'697);
  EXPECT_EQ(profile->text("heap"),
            "heap profile: 2050: 2261785 [0: 0] @ heap/524288\n"
            "1: 1212697 [0: 0] @ 0x3000\n#\t0x3000\t\n\n"
            "2049: 1049088 [0: 0] @ 0x1000 0x2000\n#\t0x1000\t\n#\t0x2000\t\n\n");
  EXPECT_FALSE(parse_heap_dump("heap profile: 1: 1").ok());
}

TEST(StackProfile, NamedOnesAreTextToo) {
  StackProfile profile(
      {.counted = {{"goroutine", "count"}}, .period_type = {"goroutine", "count"}});
  const int64_t one[] = {1};
  for (const char* name : {"io", "log", "io"}) profile.add_named(name, one);
  EXPECT_EQ(profile.text("goroutine"), "goroutine profile: total 3\n2 @\n#\tio\n\n1 @\n#\tlog\n\n");
}

}  // namespace
}  // namespace keelson::http
