// peer/handshake.h
//
// Whom a member refuses, and what a refusal means to the one refused: etcd v3.7.1's rules, codes
// and texts (docs/formats/peer.md).
//
// Everything here is a decision over values; who the members are is the caller's to say.
// Threads: pure functions.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "base/ids.h"
#include "peer/answers.h"
#include "peer/headers.h"
#include "raft/types.h"

namespace keelson::peer {

// --- What the listener answers ---------------------------------------------------------------

// A refusal, and what the log line says beyond the answer.
struct Refusal {
  Answer answer{};
  std::string reason{};
};

// 412 "incompatible version" or "cluster ID mismatch"; nothing when they may talk. Versions count
// by major and minor; one that cannot be read is refused.
std::optional<Refusal> check_compatibility(const PeerHeaders& headers, const LocalMember& local);

enum class Standing : uint8_t { kMember, kUnknown, kRemoved };
using StandingOf = absl::FunctionRef<Standing(MemberId)>;

struct AcceptedStream {
  StreamType type{};
  MemberId from{};
};
struct StreamVerdict {
  std::optional<AcceptedStream> accepted{};  // answer 200 and send; else `refusal` says why not
  Refusal refusal{};
  // With a refusal: the sender is unknown and told where it listens.
  std::optional<IntroducedMember> introduced{};
};
// A request for a stream, from method to receiver, in etcd's order of checks.
struct StreamRequest {
  std::string_view method{};
  std::string_view path{};
  PeerHeaders headers{};
};
StreamVerdict judge_stream(const StreamRequest& request, const LocalMember& local,
                           StandingOf standing);

// The same for a POST to /raft or /raft/snapshot, before its body is read.
std::optional<Refusal> judge_post(std::string_view method, const PeerHeaders& headers,
                                  const LocalMember& local);

// For a message that has been read: 403 from a member that was removed, or to somebody else.
std::optional<Refusal> judge_message(const raft::Message& message, MemberId local,
                                     StandingOf standing);

// --- What the answers mean to who asked ------------------------------------------------------

enum class Outcome : uint8_t {
  kAccepted,
  kMemberRemoved,  // we are no member any more: the whole member must stop
  kIncompatibleVersion,
  kClusterMismatch,
  kUnsupportedStream,
  kRefused,  // anything else
};
struct Verdict {
  Outcome outcome = Outcome::kRefused;
  std::string text{};  // in etcd's words; empty when accepted
};

struct PeerAnswer {
  int code = 0;
  std::string_view body{};
  std::string_view server_version{};  // X-Server-Version; "2.0.0" if empty
};
// The answer to a request for a stream from `remote`.
Verdict judge_stream_answer(const PeerAnswer& answer, const LocalMember& local, MemberId remote);
// The answer to a POST; `url` is for the text.
Verdict judge_post_answer(const PeerAnswer& answer, std::string_view url);

}  // namespace keelson::peer
