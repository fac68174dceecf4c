// Whose a JWT is, and how often that is found out.

#include "rpc/access.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/quiet_log.h"
#include "base/text.h"
#include "net/memory_connection.h"

namespace keelson::rpc {
namespace {

using std::chrono::minutes;

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    absl::StatusOr<std::unique_ptr<auth::Jwt>> jwt = auth::Jwt::create(
        {.method = "HS256", .public_key = "", .private_key = "secret", .ttl = minutes(5)});
    EXPECT_TRUE(jwt.ok()) << jwt.status();
    jwt_ = *std::move(jwt);
    backend::WriteBatch batch;
    EXPECT_TRUE(store_.begin(batch));
    etcdserverpb::AuthUserAddRequest root;
    root.set_name("root");
    root.mutable_options()->set_no_password(true);
    EXPECT_TRUE(store_.user_add(root, batch).ok());
    etcdserverpb::AuthUserGrantRoleRequest grant;
    grant.set_user("root");
    grant.set_role("root");
    EXPECT_TRUE(store_.user_grant_role(grant, batch).ok());
    EXPECT_TRUE(store_.enable(batch).ok());
    store_.publish();
    access_ = std::make_unique<Access>(store_, clock_, AuthSettings{.jwt = jwt_});
  }

  std::string good() { return *jwt_->sign("root", store_.rules().revision(), clock_.unix_time()); }
  absl::Status ask(const std::string& token) {
    return access_->require_admin(lane_, token, clock_.now());
  }

  log::QuietLog quiet_;
  net::ManualClock clock_;
  auth::AuthStore store_{{.tokens = auth::TokenKind::kSelfContained}, &clock_};
  std::shared_ptr<const auth::Jwt> jwt_;
  std::unique_ptr<Access> access_;
  LaneAccess lane_;
};

TEST_F(AccessTest, ASignatureIsVerifiedOnceWhetherItHoldsOrNot) {
  const std::string sound = good();
  std::string forged = sound;
  forged[forged.size() - 5] = forged[forged.size() - 5] == 'A' ? 'B' : 'A';
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ask(forged), errors::InvalidAuthToken());
    EXPECT_TRUE(ask(sound).ok());
  }
  EXPECT_EQ(lane_.times_verified, 2u);
}

TEST_F(AccessTest, WhatIsOverIsRefusedWithoutAnotherLook) {
  const std::string token = good();
  EXPECT_TRUE(ask(token).ok());
  clock_.advance(minutes(6));
  EXPECT_EQ(ask(token), errors::InvalidAuthToken());
  EXPECT_EQ(lane_.times_verified, 1u);
}

// Whoever makes up one after the other gets no more memory than that, and nobody else refused.
TEST_F(AccessTest, ForgottenAreOnlyThoseOfLongAgo) {
  const auto made_up = [](size_t i) { return cat("a.b.", i); };
  for (size_t i = 0; i < 3 * RefusedTokens::kMost; ++i) EXPECT_FALSE(ask(made_up(i)).ok());
  EXPECT_EQ(lane_.times_verified, 3 * RefusedTokens::kMost);
  for (size_t i = 2 * RefusedTokens::kMost; i < 3 * RefusedTokens::kMost; ++i) {
    EXPECT_FALSE(ask(made_up(i)).ok());
  }
  EXPECT_EQ(lane_.times_verified, 3 * RefusedTokens::kMost);
  EXPECT_FALSE(ask(made_up(0)).ok());
  EXPECT_EQ(lane_.times_verified, 3 * RefusedTokens::kMost + 1);
  EXPECT_TRUE(ask(good()).ok());
}

}  // namespace
}  // namespace keelson::rpc
