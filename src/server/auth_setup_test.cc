// What a member says of an --auth-token that it cannot use: etcd's error, and in the log why.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "base/test_log.h"
#include "base/text.h"
#include "server/auth.h"

namespace keelson::server {
namespace {

// The error of `token`, and the one line about it: names and values of its fields.
std::pair<std::string, std::map<std::string, std::string>> refused(const std::string& token) {
  log::TestLog log(log::Level::kError);
  Config config;
  config.auth_token = token;
  const std::string error(message_of(prepare_auth(config).status()));
  const auto said = log.take("problem loading JWT options");
  if (said.size() != 1) return {error, {}};
  return {error, {said[0].fields.begin(), said[0].fields.end()}};
}

TEST(AuthSetup, TheLogSaysWhyAJwtCannotBeMade) {
  auto [error, fields] = refused("jwt,sign-method=rs256");
  EXPECT_EQ(error, "auth: invalid auth options");
  EXPECT_EQ(fields["sign-method"], "rs256");
  std::tie(error, fields) = refused("jwt,sign-method=RS256,ttl=5x");
  EXPECT_EQ(error, "auth: invalid auth options");
  EXPECT_EQ(fields["option"], "ttl");
  EXPECT_EQ(fields["value"], "5x");
  std::tie(error, fields) = refused("jwt,sign-method=RS256,pub-key=/dev/null");
  EXPECT_EQ(error, "auth: missing key data");
  EXPECT_EQ(fields["error"], "auth: missing key data");
}

}  // namespace
}  // namespace keelson::server
