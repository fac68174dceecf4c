// What is typed: flags, numbers, durations, transaction lines, key ranges, watch arguments.

#include <gtest/gtest.h>

#include <sstream>

#include "base/text.h"
#include "base/time_text.h"
#include "ctl/flags.h"
#include "ctl/gotext.h"
#include "ctl/keys.h"
#include "ctl/kv_requests.h"
#include "ctl/options.h"
#include "ctl/outcome.h"
#include "ctl/txn_grammar.h"
#include "ctl/watch_arguments.h"

namespace keelson::ctl {
namespace {

using Words = std::vector<std::string>;

std::string text_of(const absl::Status& status) { return std::string(message_of(status)); }

FlagSet parsed(const std::vector<Flag>& flags, const Words& args) {
  FlagSet set;
  set.add_all(flags);
  EXPECT_TRUE(set.parse(args).ok());
  return set;
}

std::string flag_error(const Words& args) {
  FlagSet set;
  set.add_all(get_flags());
  set.add({.name = "write-out", .shorthand = 'w', .default_value = "simple"});
  return text_of(set.parse(args));
}

TEST(Flags, StandAnywhereAndKeepArgumentsAsTheyAre) {
  FlagSet set = parsed(get_flags(), {"[1,2]", "--prefix", "--limit", "3", "{}", "--rev=7", "-"});
  EXPECT_EQ(set.arguments(), (Words{"[1,2]", "{}", "-"}));
  EXPECT_TRUE(set.boolean("prefix"));
  EXPECT_EQ(set.integer("limit"), 3);
  EXPECT_EQ(set.integer("rev"), 7);
  EXPECT_FALSE(set.before_dash().has_value());
}

TEST(Flags, DashDashEndsThemAndItsPlaceIsKnown) {
  FlagSet set = parsed(watch_flags(), {"k", "--", "echo", "--prefix"});
  EXPECT_EQ(set.arguments(), (Words{"k", "echo", "--prefix"}));
  EXPECT_EQ(set.before_dash(), 1u);
  EXPECT_FALSE(set.boolean("prefix"));
}

TEST(Flags, BooleansTakeAValueOnlyAfterEquals) {
  FlagSet set = parsed(get_flags(), {"--prefix=false", "--keys-only", "true"});
  EXPECT_FALSE(set.boolean("prefix"));
  EXPECT_TRUE(set.boolean("keys-only"));
  EXPECT_EQ(set.arguments(), Words{"true"});
}

TEST(Flags, ErrorsReadAsPflagWritesThem) {
  EXPECT_EQ(flag_error({"--foo"}), "unknown flag: --foo");
  EXPECT_EQ(flag_error({"-1"}), "unknown shorthand flag: '1' in -1");
  EXPECT_EQ(flag_error({"--rev"}), "flag needs an argument: --rev");
  EXPECT_EQ(flag_error({"-w"}), "flag needs an argument: 'w' in -w");
  EXPECT_EQ(flag_error({"--rev", "x"}),
            "invalid argument \"x\" for \"--rev\" flag: strconv.ParseInt: parsing \"x\": invalid "
            "syntax");
  EXPECT_EQ(flag_error({"---x"}), "bad flag syntax: ---x");
}

TEST(GoText, QuotesAndReadsBack) {
  EXPECT_EQ(go_quote(std::string_view("a\"\\\n\0\xff\x7f", 7)), "\"a\\\"\\\\\\n\\x00\\xff\\x7f\"");
  EXPECT_EQ(go_quote("é世"), "\"é世\"");
  EXPECT_EQ(go_quote("\u200b\u00a0"), "\"\\u200b\\u00a0\"");
  uint32_t seed = 7;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i)
      bytes += static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
    std::string quoted = go_quote(bytes);
    std::string_view input = quoted;
    auto back = take_quoted(input);
    ASSERT_TRUE(back.ok()) << quoted;
    EXPECT_EQ(*back, bytes);
    EXPECT_TRUE(input.empty());
  }
}

TEST(GoText, Numbers) {
  EXPECT_EQ(*parse_int("-9223372036854775808", 10), INT64_MIN);
  EXPECT_EQ(*parse_int("7fffffffffffffff", 16), INT64_MAX);
  EXPECT_EQ(text_of(parse_int("9223372036854775808", 10).status()),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range");
  EXPECT_EQ(*parse_uint("ffffffffffffffff", 16), UINT64_MAX);
  EXPECT_FALSE(parse_uint("-1", 10).ok());
  EXPECT_FALSE(parse_int("", 10).ok());
}

TEST(GoText, Durations) {
  EXPECT_EQ(parse_duration("1m30.5s")->count(), 90'500'000'000);
  EXPECT_EQ(duration_text(*parse_duration("1m30.5s")), "1m30.5s");
  EXPECT_EQ(duration_text(Nanos(2461082)), "2.461082ms");
  EXPECT_EQ(duration_text(Nanos(1500)), "1.5µs");
  EXPECT_EQ(duration_text(Nanos(3600'000'000'000)), "1h0m0s");
  EXPECT_EQ(text_of(parse_duration("5").status()), "time: missing unit in duration \"5\"");
  EXPECT_EQ(text_of(parse_duration("5x").status()), "time: unknown unit \"x\" in duration \"5x\"");
}

TEST(GoText, Sizes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(20480), "20 kB");
  EXPECT_EQ(human_bytes(2147483648), "2.1 GB");
}

TEST(Keys, PrefixEnd) {
  EXPECT_EQ(prefix_end("foo"), "fop");
  EXPECT_EQ(prefix_end("a\xff\xff"), "b");
  EXPECT_EQ(prefix_end("\xff"), zero_byte());
}

TEST(Requests, EmptyPrefixIsTheWholeKeySpace) {
  auto request = range_request(parsed(get_flags(), {"", "--prefix"}));
  EXPECT_EQ(request->key(), zero_byte());
  EXPECT_EQ(request->range_end(), zero_byte());
}

TEST(Requests, AscendingByKeyIsNotAskedFor) {
  auto request = range_request(parsed(get_flags(), {"k", "--order", "ascend"}));
  EXPECT_EQ(request->sort_order(), pb::RangeRequest::NONE);
  request = range_request(parsed(get_flags(), {"k", "--order", "ascend", "--sort-by", "version"}));
  EXPECT_EQ(request->sort_order(), pb::RangeRequest::ASCEND);
}

TEST(Requests, PutReadsItsValueFromInputByteForByte) {
  std::istringstream in(std::string("line\n\0end", 9));
  auto request = put_request(parsed(put_flags(), {"k", "--lease", "7b"}), &in);
  EXPECT_EQ(request->value(), std::string("line\n\0end", 9));
  EXPECT_EQ(request->lease(), 123);
}

TEST(Requests, RangeDeletionWarnsUnlessToldNotTo) {
  std::string warning;
  ASSERT_TRUE(delete_request(parsed(del_flags(), {"a", "b", "--range"}), &warning).ok());
  EXPECT_EQ(warning, "");
  ASSERT_TRUE(delete_request(parsed(del_flags(), {"a", "b"}), &warning).ok());
  EXPECT_EQ(warning.substr(0, 50), "Warning: Keys between \"a\" and \"b\" will be deleted.");
}

TEST(Password, IsALineOfAPipeWhichMayHaveEnded) {
  std::istringstream in("first\r\nsecond");
  std::ostringstream out;
  Console console{in, out, out};
  EXPECT_EQ(*ask_password(console, "Password: "), "first");
  EXPECT_EQ(*ask_password(console, "Password: "), "second");
  EXPECT_EQ(*ask_password(console, "Password: "), "");
  EXPECT_EQ(*ask_password(console, "Password: "), "");
  in.setstate(std::ios::badbit);
  EXPECT_FALSE(ask_password(console, "Password: ").ok());
}

TEST(Txn, Argify) {
  EXPECT_EQ(*argify(R"(put "a b" 'c "d"' e)"), (Words{"put", "a b", "c \"d\"", "e"}));
  EXPECT_EQ(*argify(R"(put k "\x41\n")"), (Words{"put", "k", "A\n"}));
  EXPECT_EQ(*argify(R"(put k "open)"), (Words{"put", "k", "open"}));
  EXPECT_EQ(*argify("  "), Words{});
}

TEST(Txn, Compare) {
  auto compare = parse_compare(R"(mod("key1") > "42")");
  ASSERT_TRUE(compare.ok());
  EXPECT_EQ(compare->ShortDebugString(),
            "result: GREATER target: MOD key: \"key1\" mod_revision: 42");
  EXPECT_EQ(text_of(parse_compare("mod k").status()), "malformed comparison: mod k");
  EXPECT_EQ(text_of(parse_compare(R"(mod("k")="2")").status()),
            R"(malformed comparison: mod("k")="2"; got mod("k")  "")");
  EXPECT_EQ(exit_code_of(parse_compare(R"(x("k") = "2")").status()), 3);
}

TEST(Watch, Arguments) {
  auto plan = plan_watch(parsed(watch_flags(), {"k", "--rev", "3", "--", "echo", "-n"}), {});
  EXPECT_EQ(plan->command, (Words{"echo", "-n"}));
  EXPECT_EQ(plan->request.ShortDebugString(), "key: \"k\" start_revision: 3");
  plan = plan_watch(parsed(watch_flags(), {"--", "echo"}), {"envkey", "envkez"});
  EXPECT_EQ(plan->request.range_end(), "envkez");
  auto error = [](const Words& args, const WatchEnvironment& environment) {
    return text_of(plan_watch(parsed(watch_flags(), args), environment).status());
  };
  EXPECT_EQ(error({}, {}), "bad number of arguments");
  EXPECT_EQ(error({"k"}, {"e", ""}), "bad number of arguments (found conflicting environment key)");
  EXPECT_EQ(error({"k", "--"}, {}),
            "bad number of arguments (found separator --, but no commands)");
  EXPECT_EQ(error({"a", "b", "--prefix"}, {}), "`range_end` and `--prefix` are mutually exclusive");
}

}  // namespace
}  // namespace keelson::ctl
