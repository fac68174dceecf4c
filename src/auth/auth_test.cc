// Ranges, passwords, encodings and sorting, each against known answers.

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "auth/auth_store.h"
#include "auth/base64.h"
#include "auth/go_sort.h"
#include "auth/jwt.h"
#include "auth/key_ranges.h"
#include "auth/password.h"
#include "auth/shared_map.h"
#include "auth/token_text.h"
#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/text.h"

namespace keelson::auth {
namespace {

using namespace std::string_literals;

using Named = std::pair<std::string, std::string>;  // a key and a range end

KeyRanges ranges(const std::vector<Named>& grants, GrantOrder order = GrantOrder::kByEnd) {
  KeyRanges out(order);
  for (const auto& [key, end] : grants) out.add(key, end);
  out.merge();
  return out;
}

TEST(KeyRanges, CoverWhatTheGrantsTogetherCover) {
  KeyRanges some = ranges({{"b", "d"}, {"d", "f"}, {"k", ""}, {"k\0"s, "m"}});
  EXPECT_TRUE(some.covers("b", ""));
  EXPECT_TRUE(some.covers("b", "f"));
  EXPECT_FALSE(some.covers("b", "f\0"s));
  EXPECT_FALSE(some.covers("a", "c"));
  EXPECT_FALSE(some.covers("f", ""));
  EXPECT_TRUE(some.covers("k", "m"));
  EXPECT_TRUE(some.covers("k", ""));
  EXPECT_FALSE(some.covers("b", "k"));
  EXPECT_FALSE(some.covers("b", "\0"s));
  EXPECT_FALSE(some.covers("", ""));
  EXPECT_FALSE(KeyRanges(GrantOrder::kByEnd).covers("a", ""));
}

TEST(KeyRanges, OpenEndsCoverOpenEnds) {
  KeyRanges from = ranges({{"m", "\0"s}, {"x", "z"}});
  EXPECT_TRUE(from.covers("m", "\0"s));
  EXPECT_TRUE(from.covers("\xff\xff", ""));
  EXPECT_TRUE(from.covers("n", "\xff\xff\xff"));
  EXPECT_FALSE(from.covers("l", "\0"s));
  KeyRanges all = ranges({{"\0"s, "\0"s}});
  EXPECT_TRUE(all.covers("\0"s, "\0"s));
  EXPECT_TRUE(all.covers("a", "b"));
  EXPECT_FALSE(ranges({{"a", "\xff"}}).covers("a", "\0"s));
}

// Calls `grants` with the grants of each line of the file that has some, and `request` with each
// request about them and the words behind it.
void read_tree_file(const std::string& name,
                    const std::function<void(const std::vector<Named>&)>& grants,
                    const std::function<void(const Named&, std::istream& answers)>& request) {
  std::ifstream file(cat(KEELSON_SOURCE_DIR "/src/auth/testdata/", name));
  const auto named = [](const std::string& text) {
    const size_t colon = text.find(':');
    const std::string end = colon == std::string::npos ? "" : text.substr(colon + 1);
    return Named(text.substr(0, colon), end == "*" ? "\0"s : end);
  };
  for (std::string line, word; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    SCOPED_TRACE(line);
    std::istringstream words(line);
    words >> word;
    if (word != "grants") {
      request(named(word), words);
      continue;
    }
    std::vector<Named> all;
    while (words >> word) all.push_back(named(word));
    grants(all);
  }
}

bool next_answer(std::istream& answers) {
  std::string word;
  EXPECT_TRUE(answers >> word);
  return word == "true";
}

// What has no right answer is answered as by etcd, whose answers stand in the file.
TEST(KeyRanges, InvertedRangesAreAsInEtcdsTree) {
  KeyRanges some(GrantOrder::kByEnd);
  int requests = 0;
  read_tree_file(
      "interval_tree.txt", [&](const std::vector<Named>& grants) { some = ranges(grants); },
      [&](const Named& request, std::istream& answers) {
        EXPECT_EQ(some.covers(request.first, request.second), next_answer(answers));
        ++requests;
      });
  EXPECT_EQ(requests, 816);
}

TEST(KeyRanges, InvertedRangesAreAsInTheTreeOfEachRelease) {
  KeyRanges before(GrantOrder::kAsAdded), since(GrantOrder::kByEnd);
  int requests = 0, differ = 0;
  read_tree_file(
      "interval_tree_orders.txt",
      [&](const std::vector<Named>& grants) {
        before = ranges(grants, GrantOrder::kAsAdded);
        since = ranges(grants, GrantOrder::kByEnd);
      },
      [&](const Named& request, std::istream& answers) {
        const bool was = next_answer(answers), is = next_answer(answers);
        EXPECT_EQ(before.covers(request.first, request.second), was) << "before 3.7";
        EXPECT_EQ(since.covers(request.first, request.second), is) << "since 3.7";
        ++requests;
        differ += was != is;
      });
  EXPECT_EQ(requests, 795);
  EXPECT_EQ(differ, 315);
}

TEST(SharedMap, CopiesKeepWhatTheyHad) {
  SharedMap<int, 4> map;
  for (int i = 0; i < 100; ++i) map.set("k" + std::to_string(i), i);
  const SharedMap<int, 4> before = map;
  map.share();
  for (int i = 0; i < 100; ++i) map.set("k" + std::to_string(i), -i);
  map.erase("k7");
  map.erase("nobody");
  map.erase_if([](int value) { return value < -50; });
  EXPECT_EQ(map.find("k7"), nullptr);
  EXPECT_EQ(*map.find("k50"), -50);
  EXPECT_EQ(map.find("k51"), nullptr);
  EXPECT_EQ(map.size(), 50u);
  EXPECT_EQ(before.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*before.find("k" + std::to_string(i)), i);
}

// Made by Go's bcrypt through etcd 3.5, and published vectors of the algorithm.
TEST(Password, HashesAreGos) {
  EXPECT_TRUE(
      password_matches("$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga", "allmine"));
  EXPECT_TRUE(
      password_matches("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"));
  EXPECT_FALSE(
      password_matches("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*V"));
  // What libcrypt's own "$2a$" answers otherwise: bytes over 127 in certain places.
  EXPECT_TRUE(password_matches("$2a$05$/OK.fbVrR/bpIqNJ5ianF.nRht2l/HRhr6zmCp9vYUvvsqynflf9e",
                               "\xff\xa3"
                               "345"));
  EXPECT_FALSE(password_matches("", ""));
  EXPECT_FALSE(password_matches("$2a$05$tooshort", "x"));
}

TEST(Password, OwnHashesMatchAndOthersDoNot) {
  for (std::string password : {"", "a", "correct horse", "\xff\xff"}) {
    absl::StatusOr<std::string> hash = hash_password(password, 4);
    ASSERT_TRUE(hash.ok());
    EXPECT_EQ(hash->substr(0, 7), "$2a$04$");
    EXPECT_TRUE(password_matches(*hash, password));
    EXPECT_FALSE(password_matches(*hash, password + "x"));
    EXPECT_NE(*hash, *hash_password(password, 4));
  }
  EXPECT_EQ(hash_password(std::string(73, 'x'), 4).status().message(),
            "bcrypt: password length exceeds 72 bytes");
  EXPECT_TRUE(hash_password(std::string(72, 'x'), 4).ok());
}

// libcrypt ends at a zero byte: what stands behind it must not be forgotten.
TEST(Password, AZeroByteEndsNothing) {
  absl::StatusOr<std::string> hash = hash_password("a", 4);
  ASSERT_TRUE(hash.ok());
  EXPECT_FALSE(password_matches(*hash, "a\0b"s));
  EXPECT_FALSE(password_matches(*hash, "a\0"s));
  EXPECT_FALSE(hash_password("a\0b"s, 4).ok());
}

TEST(Base64, IsGos) {
  std::string out;
  EXPECT_TRUE(decode_base64("", &out) && out.empty());
  EXPECT_TRUE(decode_base64("YWJj", &out) && out == "abc");
  EXPECT_TRUE(decode_base64("YW\r\nI=", &out) && out == "ab");
  EXPECT_TRUE(decode_base64("YR==", &out) && out == "a");  // spare bits
  for (const char* bad : {"Y", "YQ", "YQ=", "YQ===", "=", "====", "YWJj YWJj", "YW-_", "Y=Jj"}) {
    EXPECT_FALSE(decode_base64(bad, &out)) << bad;
  }
  EXPECT_TRUE(decode_base64_url("YW-_", &out) && out == "ao\xbf");
  EXPECT_FALSE(decode_base64_url("YQ==", &out));
  EXPECT_EQ(encode_base64("ab"), "YWI=");
  EXPECT_EQ(encode_base64_url("\xfb\xff"), "-_8");
}

class TestClock final : public Clock {
 public:
  MonotonicTime now() const override { return {at}; }
  Duration unix_time() const override { return at; }
  Duration at = std::chrono::seconds(100);
};

// A store with root and u, enabled.
class Tokens : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"root", "u", "v"}) {
      etcdserverpb::AuthUserAddRequest add;
      add.set_name(name);
      ASSERT_TRUE(store_.user_add(add, batch_).ok());
    }
    etcdserverpb::AuthUserGrantRoleRequest grant;
    grant.set_user("root");
    grant.set_role("root");
    ASSERT_TRUE(store_.user_grant_role(grant, batch_).ok());
    ASSERT_TRUE(store_.enable(batch_).ok());
  }
  std::string log_in(std::string_view user, std::string_view letters, uint64_t place) {
    absl::StatusOr<std::string> token = store_.authenticate(user, letters, Index(place));
    EXPECT_TRUE(token.ok()) << token.status();
    store_.publish();
    store_.check_invariants();
    return token.ok() ? *token : "";
  }
  std::string user_of(const std::string& token) {
    std::shared_ptr<const Rules> rules = store_.newest();
    const std::string* user = rules->token_user(token, clock_.now());
    return user ? *user : "";
  }

  TestClock clock_;
  backend::WriteBatch batch_;
  AuthStore store_{{.token_ttl = std::chrono::seconds(10), .max_tokens = 4}, &clock_};
};

TEST_F(Tokens, EndWhenTheyAreNotUsed) {
  const std::string token = log_in("u", "letters", 17);
  EXPECT_EQ(token, "letters.17");
  clock_.at += std::chrono::seconds(9);
  EXPECT_EQ(user_of(token), "u");  // and is good for ten more
  clock_.at += std::chrono::seconds(9);
  EXPECT_EQ(user_of(token), "u");
  clock_.at += std::chrono::seconds(10);
  EXPECT_EQ(user_of(token), "");
  EXPECT_EQ(user_of("letters.18"), "");
}

TEST_F(Tokens, EndWithThePasswordTheUserAndAuthentication) {
  const std::string u = log_in("u", "a", 1), v = log_in("v", "b", 2), root = log_in("root", "c", 3);
  const std::shared_ptr<const Rules> before = store_.newest();
  etcdserverpb::AuthUserChangePasswordRequest change;
  change.set_name("u");
  ASSERT_TRUE(store_.user_change_password(change, batch_).ok());
  EXPECT_EQ(user_of(u), "u");  // until it is published
  store_.publish();
  EXPECT_EQ(user_of(u), "");
  EXPECT_EQ(user_of(v), "v");
  EXPECT_NE(before->token_user(u, clock_.now()), nullptr);  // a picture stays as it is
  etcdserverpb::AuthUserDeleteRequest remove;
  remove.set_name("v");
  ASSERT_TRUE(store_.user_delete(remove, batch_).ok());
  store_.publish();
  EXPECT_EQ(user_of(v), "");
  EXPECT_EQ(user_of(root), "root");
  store_.disable(batch_);
  ASSERT_TRUE(store_.enable(batch_).ok());
  store_.publish();
  EXPECT_EQ(user_of(root), "");
  store_.check_invariants();
}

TEST_F(Tokens, AreBoundedInNumber) {
  for (uint64_t i = 0; i < 4; ++i) log_in("u", "x", i);
  EXPECT_EQ(store_.authenticate("u", "x", Index(4)).status(), errors::RequestTooManyRequests());
  clock_.at += std::chrono::seconds(10);
  log_in("u", "x", 5);  // the others have ended
}

// The log is read again from where the store had got to, which may be days back.
TEST_F(Tokens, OfBeforeAStartDoNotComeBack) {
  AuthStore store({.started_at = Index(10)}, &clock_);
  backend::MemoryBackend records;
  ASSERT_TRUE(records.commit(batch_, Index(1), Term(1)).ok());
  ASSERT_TRUE(store.restore(records).ok());
  absl::StatusOr<std::string> old = store.authenticate("u", "old", Index(9));
  absl::StatusOr<std::string> now = store.authenticate("u", "now", Index(10));
  ASSERT_TRUE(old.ok() && now.ok());
  store.publish();
  EXPECT_EQ(store.newest()->token_user(*old, clock_.now()), nullptr);
  EXPECT_NE(store.newest()->token_user(*now, clock_.now()), nullptr);
}

TEST(TokenText, LettersAndFingerprints) {
  absl::StatusOr<std::string> letters = random_letters();
  ASSERT_TRUE(letters.ok());
  EXPECT_EQ(letters->size(), 16u);
  EXPECT_TRUE(std::all_of(letters->begin(), letters->end(),
                          [](unsigned char c) { return std::isalpha(c) != 0; }));
  EXPECT_NE(*letters, *random_letters());
  EXPECT_EQ(fingerprint("abc"), "ba7816bf8f01");
}

std::string pem_of(EVP_PKEY* key, bool is_private) {
  BIO* bio = BIO_new(BIO_s_mem());
  if (is_private) {
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  } else {
    PEM_write_bio_PUBKEY(bio, key);
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

struct KeyPair {
  explicit KeyPair(EVP_PKEY* key) : public_pem(pem_of(key, false)), private_pem(pem_of(key, true)) {
    EVP_PKEY_free(key);
  }
  std::string public_pem, private_pem;
};

KeyPair key_for(const std::string& method) {
  if (method == "ES256") return KeyPair(EVP_EC_gen("P-256"));
  if (method == "ES384") return KeyPair(EVP_EC_gen("P-384"));
  if (method == "ES512") return KeyPair(EVP_EC_gen("P-521"));
  if (method == "EdDSA") return KeyPair(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  static const KeyPair rsa(EVP_RSA_gen(2048));
  return rsa;
}

constexpr Duration kNow = std::chrono::seconds(1'700'000'000);

TEST(Jwt, EveryMethodSignsVerifiesAndRefusesChanges) {
  for (const char* method : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
                             "ES512", "EdDSA", "HS256", "HS384", "HS512"}) {
    SCOPED_TRACE(method);
    const bool hmac = method[0] == 'H';
    const KeyPair key = key_for(method);
    auto signer = Jwt::create({.method = method, .private_key = hmac ? "secret" : key.private_pem});
    ASSERT_TRUE(signer.ok()) << signer.status();
    absl::StatusOr<std::string> token = (*signer)->sign("alice", 7, kNow);
    ASSERT_TRUE(token.ok()) << token.status();
    auto claims = (*signer)->verify(*token);
    ASSERT_TRUE(claims.has_value());
    EXPECT_EQ(claims->user, "alice");
    EXPECT_EQ(claims->revision, 7u);
    EXPECT_TRUE(claims->good_at(kNow));
    EXPECT_TRUE(claims->good_at(kNow + std::chrono::seconds(299)));
    EXPECT_FALSE(claims->good_at(kNow + std::chrono::seconds(300)));
    for (size_t at = 0; at < token->size(); at += 7) {
      std::string changed = *token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      if (at + 1 == token->size()) continue;  // spare bits of the last letter
      auto read = (*signer)->verify(changed);
      EXPECT_FALSE(read.has_value()) << at;
    }
    if (hmac) continue;
    auto verifier = Jwt::create({.method = method, .public_key = key.public_pem});
    ASSERT_TRUE(verifier.ok()) << verifier.status();
    EXPECT_TRUE((*verifier)->verify(*token).has_value());
    EXPECT_EQ((*verifier)->sign("a", 1, kNow).status().message(),
              "auth: token signing attempted with verify-only key");
  }
}

// The oldest trick: what verifies is chosen by the token.
TEST(Jwt, TheTokenDoesNotChooseTheMethod) {
  const KeyPair key = key_for("RS256");
  auto verifier = Jwt::create({.method = "RS256", .public_key = key.public_pem});
  auto forger = Jwt::create({.method = "HS256", .private_key = key.public_pem});
  ASSERT_TRUE(verifier.ok() && forger.ok());
  EXPECT_FALSE((*verifier)->verify(*(*forger)->sign("root", 1, kNow)).has_value());
  const std::string none = encode_base64_url(R"({"alg":"none","typ":"JWT"})") + "." +
                           encode_base64_url(R"({"username":"root","revision":1})") + ".";
  EXPECT_FALSE((*verifier)->verify(none).has_value());
  for (const char* nonsense : {"", ".", "..", "a.b", "a.b.c.d", "!.!.!"}) {
    EXPECT_FALSE((*verifier)->verify(nonsense).has_value()) << nonsense;
  }
}

TEST(Jwt, KeysMustBeThereAndFit) {
  const KeyPair rsa = key_for("RS256"), p256 = key_for("ES256"), other = key_for("ES256");
  auto why = [](JwtOptions options) {
    return std::string(from_absl(Jwt::create(std::move(options)).status().message()));
  };
  EXPECT_EQ(why({.method = "RS256"}), "auth: missing key data");
  EXPECT_EQ(why({.method = "HS256", .public_key = "x"}), "auth: missing key data");
  EXPECT_EQ(why({.method = "none"}), "auth: invalid auth options");
  EXPECT_EQ(
      why({.method = "ES256", .public_key = p256.public_pem, .private_key = other.private_pem}),
      "auth: public and private keys don't match");
  EXPECT_NE(why({.method = "ES256", .private_key = rsa.private_pem}), "");
  EXPECT_NE(why({.method = "ES384", .private_key = p256.private_pem}), "");
  EXPECT_NE(why({.method = "RS256", .private_key = "garbage"}), "");
  EXPECT_EQ(
      why({.method = "ES256", .public_key = p256.public_pem, .private_key = p256.private_pem}), "");
}

TEST(GoSort, Sorts) {
  for (int n : {0, 1, 5, 12, 13, 30, 49, 50, 200, 1000}) {
    for (uint64_t seed = 1; seed < 20; ++seed) {
      std::vector<uint64_t> values;
      for (int i = 0; i < n; ++i) values.push_back(seed * (i + 7919) * 2654435761u % (seed + 3));
      std::vector<uint64_t> expected = values;
      std::sort(expected.begin(), expected.end());
      go_sort(
          n, [&](int a, int b) { return values[a] < values[b]; },
          [&](int a, int b) { std::swap(values[a], values[b]); });
      EXPECT_EQ(values, expected);
    }
  }
}

}  // namespace
}  // namespace keelson::auth
