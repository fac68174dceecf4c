// peer/questions.h
//
// What members ask each other beside raft's messages, in etcd's encodings: both sides of it.
//
// Errors of a parse_…: InvalidArgument. An answer_to_… is what a member answers in HTTP; a
//   judge_… is what the one who asked makes of that, as a value or as the error it stands for.
// Threads: pure functions.
// Source: etcd v3.7.1, server/lease/leasehttp, server/etcdserver/corrupt.go and cluster_util.go,
//   server/etcdserver/api/etcdhttp.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "membership/cluster.h"
#include "peer/answers.h"
#include "peer/ask.h"
#include "peer/local_answers.h"

namespace keelson::peer {

inline constexpr std::string_view kPromotePrefix = "/members/promote/";
inline constexpr std::string_view kHashPath = "/members/hashkv";
inline constexpr std::string_view kLeasePath = "/leases";
inline constexpr std::string_view kLeaseInternalPath = "/leases/internal";
inline constexpr std::string_view kDowngradePath = "/downgrade/enabled";
inline constexpr std::string_view kProtobuf = "application/protobuf";

// The most that an answer may take: what names every key of a lease, and any other.
inline constexpr size_t kMaxLeaseAnswer = 100 << 20;  // etcd's number
inline constexpr size_t kMaxAnswer = 4 << 20;
// The most that a question may.
inline constexpr size_t kMaxQuestion = 64 << 10;

// What came back.
struct QuestionAnswer {
  int code = 0;
  std::string_view body{};
};

// --- members, versions ---
std::string members_json(const std::vector<membership::Member>& members);
absl::StatusOr<std::vector<membership::Member>> parse_members(std::string_view text);
std::string versions_json(const Versions& versions);
absl::StatusOr<Versions> parse_versions(std::string_view text);

// --- promotion ---
// Decimal, unlike every other id.
std::string promote_path(MemberId member);
Answer answer_to_promote(const absl::StatusOr<std::vector<membership::Member>>& result);
absl::StatusOr<std::vector<membership::Member>> judge_promote(const QuestionAnswer& answer);

// --- leases ---
std::string encode_renewal(LeaseId lease);
absl::StatusOr<LeaseId> parse_renewal(std::string_view text);
Answer answer_to_renewal(LeaseId lease, const absl::StatusOr<int64_t>& result);
absl::StatusOr<int64_t> judge_renewal(LeaseId lease, const QuestionAnswer& answer);

struct LeaseQuestion {
  LeaseId lease{};
  bool keys = false;
};
std::string encode_times_question(const LeaseQuestion& question);
absl::StatusOr<LeaseQuestion> parse_times_question(std::string_view text);
Answer answer_to_times(LeaseId lease, const absl::StatusOr<LeaseTimes>& result);
absl::StatusOr<LeaseTimes> judge_times(LeaseId lease, const QuestionAnswer& answer);

// --- hashes ---
std::string hash_question_json(int64_t revision);
absl::StatusOr<int64_t> parse_hash_question(std::string_view text);
Answer answer_to_hash(const absl::StatusOr<HashAnswer>& result);
absl::StatusOr<HashAnswer> judge_hash(const QuestionAnswer& answer);

// --- downgrade ---
Answer answer_to_downgrade(const absl::StatusOr<bool>& result);
absl::StatusOr<bool> judge_downgrade(const QuestionAnswer& answer);

}  // namespace keelson::peer
