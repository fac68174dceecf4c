// peer/headers.h
//
// Where members ask each other and what they say of themselves in HTTP headers, as etcd v3.7.1 does
// (docs/formats/peer.md).
//
// Threads: pure functions. Lifetime: PeerHeaders and LocalMember view their texts.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace keelson::peer {

// --- Paths -----------------------------------------------------------------------------------

inline constexpr std::string_view kPipelinePath = "/raft";
inline constexpr std::string_view kProbingPath = "/raft/probing";
inline constexpr std::string_view kSnapshotPath = "/raft/snapshot";
// Our own: a store of which the two members have the same form (docs/formats/peer.md).
inline constexpr std::string_view kStorePath = "/keelson/store";
inline constexpr std::string_view kStoreFormPath = "/keelson/store/form";
inline constexpr std::string_view kStreamPrefix = "/raft/stream/";
inline constexpr std::string_view kMembersPath = "/members";
inline constexpr std::string_view kVersionPath = "/version";

enum class StreamType : uint8_t { kMessage, kAppend };

// /raft/stream/message/<from> and /raft/stream/msgapp/<from>: "msgappv2" is the encoding's name,
// and not in the path.
std::string stream_path(StreamType type, MemberId from);

// Ids as etcd writes them: hexadecimal, no leading zeros.
std::string id_text(uint64_t id);
// None for what is no such number of 64 bits. Leading zeros and capitals are taken, signs are not.
std::optional<uint64_t> parse_id(std::string_view text);

// --- Headers ---------------------------------------------------------------------------------

// A header that is absent is empty, to etcd as well.
struct PeerHeaders {
  std::string_view server_from{};          // X-Server-From
  std::string_view server_version{};       // X-Server-Version; "2.0.0" if empty
  std::string_view min_cluster_version{};  // X-Min-Cluster-Version; "2.0.0" if empty
  std::string_view cluster_id{};           // X-Etcd-Cluster-ID
  std::string_view raft_to{};              // X-Raft-To; of streams only
  std::string_view peer_urls{};            // X-PeerURLs, by commas
};

// Remembers the header if it is one of them. `name` in any case.
void take_header(std::string_view name, std::string_view value, PeerHeaders* headers);

// Who we are.
struct LocalMember {
  MemberId id{};
  ClusterId cluster{};
  std::string_view version{};                      // of etcd, that this is as good as: "3.7.1"
  std::string_view min_cluster_version = "3.0.0";  // the oldest that we live with
};

using HeaderList = std::vector<std::pair<std::string_view, std::string>>;

// What a request to a peer carries; `to` for a stream. `urls` are our advertised peer URLs.
HeaderList request_headers(const LocalMember& local, const std::vector<std::string>& urls,
                           std::optional<MemberId> to);

// A member that we may not know yet, by its own word: what etcd sends to by pipeline, until the
// log tells of it.
struct IntroducedMember {
  MemberId id{};
  std::vector<std::string> urls{};
};
std::optional<IntroducedMember> introduced_by(const PeerHeaders& headers);

}  // namespace keelson::peer
