// What GODEBUG=http2debug=2 has written of a field: Go's line, but for what nobody may read.

#include "net/decoded_fields.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace keelson::net {
namespace {

class DecodedFields : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(setenv("TZ", "UTC", 1), 0);
    tzset();
  }
  static std::string line(std::string_view name, std::string_view value, bool sensitive = false) {
    return decoded_field_line(1'796'007'600, name, value, sensitive);
  }
};

TEST_F(DecodedFields, AreWrittenAsGoWritesThem) {
  EXPECT_EQ(line(":authority", "127.0.0.1:2379"),
            "2026/11/30 03:00:00 http2: decoded hpack field header field \":authority\" = "
            "\"127.0.0.1:2379\"\n");
  EXPECT_EQ(line("a\"b", "\n\x01\xff", true),
            "2026/11/30 03:00:00 http2: decoded hpack field header field \"a\\\"b\" = "
            "\"\\n\\x01\\xff\" (sensitive)\n");
}

TEST_F(DecodedFields, KeepWhatIsSecret) {
  for (const char* name : {"token", "authorization", "proxy-authorization", "cookie", "set-cookie",
                           "x-token", "x-password-bin"}) {
    const std::string said = line(name, "hush");
    EXPECT_EQ(said.find("hush"), std::string::npos) << said;
    EXPECT_NE(said.find("= (left out)\n"), std::string::npos) << said;
  }
}

TEST_F(DecodedFields, HaveABound) {
  const std::string said = line(std::string(100'000, '\x01'), std::string(100'000, '\xff'));
  EXPECT_LT(said.size(), 2500u);
  EXPECT_TRUE(said.ends_with("\"...\n"));
}

}  // namespace
}  // namespace keelson::net
