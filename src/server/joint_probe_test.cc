// Who asks together is answered together.

#include "server/joint_probe.h"

#include <gtest/gtest.h>

#include <string>

namespace keelson::server {
namespace {

TEST(JointProbe, OneForAllWhoAskMeanwhile) {
  std::vector<JointProbe::Done> probes;
  JointProbe probe([&](JointProbe::Done done) { probes.push_back(std::move(done)); });
  std::string heard;
  const auto note = [&heard](std::string name) {
    return
        [&heard, name](const absl::Status& status) { heard += name + (status.ok() ? "+" : "-"); };
  };
  probe.ask(note("a"));
  for (const char* name : {"b", "c"}) probe.ask(note(name));
  ASSERT_EQ(probes.size(), 1u);
  probes[0](absl::OkStatus());
  EXPECT_EQ(heard, "a+");
  ASSERT_EQ(probes.size(), 2u);
  probes[1](absl::UnavailableError("x"));
  EXPECT_EQ(heard, "a+b-c-");
  EXPECT_EQ(probes.size(), 2u);
  probe.ask(note("d"));
  EXPECT_EQ(probes.size(), 3u);
}

TEST(JointProbe, WhoAsksAgainWhenHeIsAnswered) {
  int probes = 0;
  JointProbe probe([&](JointProbe::Done done) {
    ++probes;
    done(absl::OkStatus());
  });
  int left = 3;
  std::function<void(const absl::Status&)> again = [&](const absl::Status&) {
    if (--left > 0) probe.ask(again);
  };
  probe.ask(again);
  EXPECT_EQ(left, 0);
  EXPECT_EQ(probes, 3);
}

}  // namespace
}  // namespace keelson::server
