// What comes as metadata: every malformed form of it by hand, and random texts beside an obvious
// twin.

#include "trace/context.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "trace/sampler.h"
#include "trace/test_contexts.h"

namespace keelson::trace {
namespace {

constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr std::string_view kSpan = "b7ad6b7169203331";

std::string parent(std::string_view version, std::string_view trace, std::string_view span,
                   std::string_view flags) {
  return cat(version, "-", trace, "-", span, "-", flags);
}

TEST(TraceParent, NamesTraceSpanAndFlags) {
  const auto context = parse_traceparent(parent("00", kTrace, kSpan, "01"));
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace, (TraceId{0x0af7651916cd43dd, 0x8448eb211c80319c}));
  EXPECT_EQ(context->span, SpanId{0xb7ad6b7169203331});
  EXPECT_TRUE(context->sampled());
  EXPECT_EQ(context->trace.bytes(),
            "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c");
  EXPECT_EQ(context->span.bytes(), "\xb7\xad\x6b\x71\x69\x20\x33\x31");
  EXPECT_FALSE(parse_traceparent(parent("00", kTrace, kSpan, "00"))->sampled());
  EXPECT_EQ(parse_traceparent(parent("00", kTrace, kSpan, "03"))->flags, kSampled | kRandom);
}

TEST(TraceParent, OfLaterVersionsTheKnownPartCounts) {
  for (std::string_view more : {"", "-", "-what-the-future-will-be-like", "--"}) {
    const auto context = parse_traceparent(cat(parent("cc", kTrace, kSpan, "ff"), more));
    ASSERT_TRUE(context.has_value()) << more;
    EXPECT_EQ(context->flags, kSampled | kRandom) << "flags that nobody knows are not passed on";
  }
}

TEST(TraceParent, WhatIsMalformedIsNothing) {
  const std::string good = parent("00", kTrace, kSpan, "01");
  std::vector<std::string> bad = {
      "",
      "-",
      "---",
      "00",
      parent("ff", kTrace, kSpan, "01"),
      parent("0", kTrace, kSpan, "01"),
      parent("000", kTrace, kSpan, "01"),
      parent("0A", kTrace, kSpan, "01"),
      parent("g0", kTrace, kSpan, "01"),
      parent("00", kTrace.substr(1), kSpan, "01"),
      parent("00", cat(kTrace, "0"), kSpan, "01"),
      parent("00", "0AF7651916CD43DD8448EB211C80319C", kSpan, "01"),
      parent("00", "0af7651916cd43dd8448eb211c80319x", kSpan, "01"),
      parent("00", std::string(32, '0'), kSpan, "01"),
      parent("00", kTrace, kSpan.substr(1), "01"),
      parent("00", kTrace, cat(kSpan, "0"), "01"),
      parent("00", kTrace, "B7AD6B7169203331", "01"),
      parent("00", kTrace, std::string(16, '0'), "01"),
      parent("00", kTrace, kSpan, ""),
      parent("00", kTrace, kSpan, "1"),
      parent("00", kTrace, kSpan, "011"),
      parent("00", kTrace, kSpan, "0G"),
      parent("00", kTrace, kSpan, "04"),
      parent("00", kTrace, kSpan, "ff"),
      parent("cc", kTrace, kSpan, "01.more"),
      cat(good, "-more"),
      cat(good, "--"),
      cat(" ", good),
      cat(good, " "),
      cat(good, ",", good),
      cat(good, std::string_view("\0", 1)),
      std::string(1 << 20, '0'),
      std::string(1 << 20, '-'),
  };
  for (size_t length = 0; length < good.size(); ++length) bad.push_back(good.substr(0, length));
  for (const std::string& text : bad) {
    EXPECT_FALSE(parse_traceparent(text).has_value()) << text.substr(0, 100);
  }
  EXPECT_TRUE(parse_traceparent(cat(good, "-")).has_value()) << "as with Go's library";
}

TEST(TraceParent, AgreesWithItsTwin) {
  for_each_seed(200, [](uint64_t seed) {
    SeededRandom random(seed);
    static constexpr std::string_view kOthers = "-0fFg 9A,\xff";
    for (int round = 0; round < 20; ++round) {
      static constexpr std::string_view kVersions[] = {"00", "00", "01", "cc", "fe", "ff"};
      static constexpr std::string_view kFlags[] = {"00", "01", "02", "03", "04", "80", "ff"};
      std::string text = parent(kVersions[random.below(std::size(kVersions))],
                                random.below(8) == 0 ? std::string(32, '0') : std::string(kTrace),
                                kSpan, kFlags[random.below(std::size(kFlags))]);
      if (random.below(4) == 0) text += "-later";
      for (uint64_t changes = random.below(3); changes > 0; --changes) {
        const size_t at = random.below(text.size());
        const char other = kOthers[random.below(kOthers.size())];
        switch (random.below(3)) {
          case 0:
            text[at] = other;
            break;
          case 1:
            text.insert(at, 1, other);
            break;
          default:
            text.erase(at, 1);
        }
      }
      EXPECT_EQ(parse_traceparent(text), twin_of_traceparent(text)) << text;
    }
  });
}

TEST(TraceState, IsPassedOnAsItCame) {
  EXPECT_EQ(parse_tracestate(""), "");
  EXPECT_EQ(parse_tracestate("congo=t61rcWkgMzE"), "congo=t61rcWkgMzE");
  EXPECT_EQ(parse_tracestate("rojo=00f067aa0ba902b7,congo=t61"), "rojo=00f067aa0ba902b7,congo=t61");
  EXPECT_EQ(parse_tracestate(" \ta=1 \t,\tb=2\t"), "a=1,b=2");
  EXPECT_EQ(parse_tracestate(",,a=1,,b= 2,"), "a=1,b= 2");
  EXPECT_EQ(parse_tracestate("0tenant@vendor=x"), "0tenant@vendor=x");
  EXPECT_EQ(parse_tracestate("a_-*/9=!~"), "a_-*/9=!~");
}

TEST(TraceState, IsAllOrNothing) {
  const std::string longest = cat("a", std::string(255, 'b'), "=", std::string(256, 'v'));
  EXPECT_EQ(parse_tracestate(longest), longest);
  std::string many;
  for (int i = 0; i < 32; ++i) many += cat(i == 0 ? "" : ",", "k", i, "=v");
  EXPECT_EQ(parse_tracestate(many), many);
  for (const std::string& text : std::vector<std::string>{
           "a",
           "=1",
           "a=",
           "a= ",
           "a=1=2",
           "A=1",
           "9=1",
           "_a=1",
           "a b=1",
           "a =1",
           "a=\t1",
           "a=\x7f",
           "a=\xc3\xa4",
           "\xc3\xa4=1",
           "a=1,a=2",
           "a=1, ",
           "@vendor=1",
           "tenant@=1",
           "tenant@9=1",
           "a@b@c=1",
           cat("tenant@v", std::string(14, 'x'), "=1"),
           cat(std::string(242, 't'), "@v=1"),
           cat("a", std::string(256, 'b'), "=1"),
           cat("a=", std::string(257, 'v')),
           cat(many, ",one=toomany"),
       }) {
    EXPECT_EQ(parse_tracestate(text), "") << text.substr(0, 100);
  }
}

TEST(Sampler, KeepsAShareThatTheIdAloneDecides) {
  EXPECT_TRUE(Sampler(0).never());
  EXPECT_FALSE(Sampler(0).keeps({.high = 1, .low = 0}));
  EXPECT_TRUE(Sampler(Sampler::kMillion).keeps({.high = 0, .low = UINT64_MAX}));
  // Half: 2^62 of the 2^63 that the lower bytes can be, without their lowest bit.
  const Sampler half(500'000);
  EXPECT_TRUE(half.keeps({.high = UINT64_MAX, .low = (uint64_t{1} << 63) - 1}));
  EXPECT_FALSE(half.keeps({.high = 0, .low = uint64_t{1} << 63}));
  EXPECT_FALSE(half.keeps({.high = 0, .low = UINT64_MAX}));
  // One of a million: 2^63 / 10^6, rounded down.
  const Sampler one(1);
  EXPECT_FALSE(one.never());
  EXPECT_TRUE(one.keeps({.high = 0, .low = uint64_t{9'223'372'036'853} << 1 | 1}));
  EXPECT_FALSE(one.keeps({.high = 0, .low = uint64_t{9'223'372'036'854} << 1}));
}

TEST(Sampler, KeepsAboutThatShare) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    const auto rate = static_cast<int64_t>(1 + random.below(Sampler::kMillion - 1));
    const Sampler sampler(rate);
    constexpr int kTraces = 100'000;
    int kept = 0;
    for (int i = 0; i < kTraces; ++i) kept += sampler.keeps({random.next(), random.next()});
    const double share = static_cast<double>(rate) / Sampler::kMillion;
    // Seven times the standard deviation, which is at most 0.5 / sqrt(kTraces).
    EXPECT_NEAR(static_cast<double>(kept) / kTraces, share, 0.012) << rate;
  });
}

}  // namespace
}  // namespace keelson::trace
