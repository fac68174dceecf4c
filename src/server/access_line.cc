#include "server/access_line.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "base/utf8.h"

namespace keelson::server {
namespace {

using enum RequestForm;

constexpr std::pair<std::string_view, RequestForm> kForms[] = {
    {"/etcdserverpb.KV/Range", kRange},
    {"/etcdserverpb.KV/RangeStream", kRange},
    {"/etcdserverpb.KV/Put", kKey},
    {"/etcdserverpb.KV/DeleteRange", kRange},
    {"/etcdserverpb.KV/Txn", kTxn},
    {"/etcdserverpb.Watch/Watch", kWatch},
    {"/etcdserverpb.Lease/LeaseGrant", kGrant},
    {"/etcdserverpb.Lease/LeaseRevoke", kLease},
    {"/etcdserverpb.Lease/LeaseTimeToLive", kLease},
    {"/etcdserverpb.Auth/Authenticate", kName},
    {"/etcdserverpb.Auth/UserAdd", kName},
    {"/etcdserverpb.Auth/UserGet", kName},
    {"/etcdserverpb.Auth/UserDelete", kName},
    {"/etcdserverpb.Auth/UserChangePassword", kName},
    {"/etcdserverpb.Auth/UserGrantRole", kUserRole},
    {"/etcdserverpb.Auth/UserRevokeRole", kUserRole},
    {"/etcdserverpb.Auth/RoleAdd", kName},
    {"/etcdserverpb.Auth/RoleGet", kName},
    {"/etcdserverpb.Auth/RoleDelete", kName},
    {"/etcdserverpb.Auth/RoleGrantPermission", kRoleMay},
    {"/etcdserverpb.Auth/RoleRevokePermission", kRoleMayNot},
    {"/v3lockpb.Lock/Lock", kKey},
    {"/v3lockpb.Lock/Unlock", kKey},
    {"/v3electionpb.Election/Campaign", kKey},
    {"/v3electionpb.Election/Proclaim", kLeader},
    {"/v3electionpb.Election/Leader", kKey},
    {"/v3electionpb.Election/Observe", kKey},
    {"/v3electionpb.Election/Resign", kLeader},
};

// Transactions in one another.
constexpr int kMostDepth = 16;

// Numbers of fields that are no messages; 0: none. The last one of each counts, as protobuf has it.
struct Wanted {
  uint32_t first, second;
};

bool take(std::string_view message, Wanted wanted, std::string_view* first,
          std::string_view* second) {
  pb::Reader reader(message);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(wanted.first, pb::kBytes)) *first = field.bytes;
    if (field.is(wanted.second, pb::kBytes)) *second = field.bytes;
  }
  return reader.ok();
}

// A message in another. Of several they are what all say, one after the other: that is how protobuf
// merges them, and so what the request does. Of a choice (oneof) that is for those that come behind
// the last other member of it.
class Inner {
 public:
  // The members of the choice, in order of their numbers; one that is none stands alone.
  Inner(uint32_t first, uint32_t last) : first_(first), last_(last) {}

  // False: `message` is malformed, or has none.
  bool read(std::string_view message) {
    pb::Reader reader(message);
    for (pb::Field field; reader.next(&field);) {
      if (field.type != pb::kBytes || field.number < first_ || field.number > last_) continue;
      if (std::exchange(number_, field.number) != field.number) {
        bytes_ = field.bytes;
      } else if (bytes_.empty()) {
        bytes_ = field.bytes;
      } else if (!field.bytes.empty()) {
        if (bytes_.data() != joined_.data()) joined_ = bytes_;
        joined_ += field.bytes;
        bytes_ = joined_;
      }
    }
    return reader.ok() && number_ != 0;
  }
  uint32_t number() const { return number_; }
  // Lives as long as this and the message.
  std::string_view bytes() const { return bytes_; }

 private:
  const uint32_t first_, last_;
  uint32_t number_ = 0;
  std::string_view bytes_;
  std::string joined_;
};

void append_number(std::string& out, std::string_view name, uint64_t number) {
  char text[24];
  const char* const end = std::to_chars(text, text + sizeof text, number).ptr;
  out += ",\"";
  out += name;
  out += "\":";
  out.append(text, static_cast<size_t>(end - text));
}

void append_lease(std::string& out, std::string_view request, uint32_t field_number) {
  uint64_t id = 0;
  pb::Reader reader(request);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(field_number, pb::kVarint)) id = field.value;
  }
  char text[17];
  const auto end = std::to_chars(text, text + sizeof text, id, 16).ptr;
  if (reader.ok() && id != 0) {
    append_text(out, "lease", {text, static_cast<size_t>(end - text)});
  }
}

void append_key(std::string& out, std::string_view message, Wanted wanted) {
  std::string_view key, range_end;
  if (!take(message, wanted, &key, &range_end)) return;
  append_text(out, "key", key);
  if (!range_end.empty()) append_text(out, "range_end", range_end);
}

// Of a transaction, with those in it.
class Operations {
 public:
  explicit Operations(bool keys) : keys_(keys) {}

  // False: malformed.
  bool read(std::string_view request) {
    pb::Reader reader(request);
    for (pb::Field field; reader.next(&field);) {
      if (field.type != pb::kBytes || field.number < kCompare || field.number > kFailure) continue;
      ++counts_[field.number - kCompare];
      if (keys_) add(field, 0);
    }
    return reader.ok();
  }
  void append(std::string& out) const {
    append_number(out, "compares", counts_[0]);
    append_number(out, "successes", counts_[1]);
    append_number(out, "failures", counts_[2]);
    if (!keys_) return;
    out += ",\"operations\":[";
    out += list_;
    out += ']';
    if (left_out_ > 0) append_number(out, "left_out", left_out_);
  }

 private:
  enum : uint32_t { kCompare = 1, kSuccess = 2, kFailure = 3 };
  enum : uint32_t { kRangeOp = 1, kPutOp = 2, kDeleteOp = 3, kTxnOp = 4 };

  void add(const pb::Field& field, int depth) {
    if (field.number == kCompare) return add("compare", field.bytes, {3, 64}, depth);
    Inner op(kRangeOp, kTxnOp);
    if (!op.read(field.bytes)) return;
    switch (op.number()) {
      case kRangeOp:
        return add("range", op.bytes(), {1, 2}, depth);
      case kPutOp:
        return add("put", op.bytes(), {1, 0}, depth);
      case kDeleteOp:
        return add("delete_range", op.bytes(), {1, 2}, depth);
      default:
        return add_txn(op.bytes(), depth);
    }
  }
  // Left out, it counts as one.
  void add_txn(std::string_view txn, int depth) {
    if (depth == kMostDepth) {
      ++left_out_;
      return;
    }
    const uint64_t before = left_out_;
    add("txn", txn, {0, 0}, depth);
    if (left_out_ > before) return;
    pb::Reader reader(txn);
    for (pb::Field field; reader.next(&field);) {
      if (field.type != pb::kBytes || field.number < kCompare || field.number > kFailure) continue;
      add(field, depth + 1);
    }
  }
  void add(std::string_view what, std::string_view message, Wanted wanted, int depth) {
    if (list_.size() >= kMostOfKeys) {
      ++left_out_;
      return;
    }
    if (!list_.empty()) list_ += ',';
    list_ += "{\"op\":\"";
    list_ += what;
    list_ += '"';
    if (depth > 0) append_number(list_, "depth", static_cast<uint64_t>(depth));
    if (wanted.first != 0) append_key(list_, message, wanted);
    list_ += '}';
  }

  const bool keys_;
  uint64_t counts_[3] = {};
  std::string list_;
  uint64_t left_out_ = 0;
};

void append_txn(std::string& out, std::string_view request, bool keys) {
  Operations operations(keys);
  if (operations.read(request)) operations.append(out);
}

// REQUIRES: UTF-8.
void append_escaped(std::string& out, std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    auto byte = static_cast<unsigned char>(c);
    // Terminals take U+0080 to U+009F for commands, too.
    const bool c1 =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) byte = static_cast<unsigned char>(text[++i]);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += c;
    } else if (!c1 && byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    }
  }
}

// As far as kMostOfText, in whole characters.
std::string_view cut(std::string_view text) {
  if (text.size() <= kMostOfText) return text;
  size_t end = kMostOfText;
  const size_t last = end - 3;  // a character has four bytes at most
  while (end > last && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  const std::string_view whole = text.substr(0, end);
  return is_utf8(whole) ? whole : text.substr(0, kMostOfText);
}

void append_took(std::string& out, Duration took) {
  char text[40];
  const int64_t micros = std::max<int64_t>(0, took.count()) / 1000;
  const int size =
      std::snprintf(text, sizeof text, ",\"duration_ms\":%lld.%03d",
                    static_cast<long long>(micros / 1000), static_cast<int>(micros % 1000));
  out.append(text, static_cast<size_t>(size));
}

}  // namespace

RequestForm request_form(std::string_view method) {
  for (const auto& [path, form] : kForms) {
    if (path == method) return form;
  }
  return kOther;
}

void append_request(std::string& out, RequestForm form, std::string_view request, bool keys) {
  std::string_view first, second;
  switch (form) {
    case kOther:
    case kWatch:
      return;
    case kRange:
      if (keys) append_key(out, request, {1, 2});
      return;
    case kKey:
      if (keys) append_key(out, request, {1, 0});
      return;
    case kTxn:
      return append_txn(out, request, keys);
    case kLeader:
      if (Inner leader(1, 1); keys && leader.read(request)) append_key(out, leader.bytes(), {1, 0});
      return;
    case kLease:
      return append_lease(out, request, 1);
    case kGrant:
      return append_lease(out, request, 2);
    case kName:
      if (take(request, {1, 0}, &first, &second)) append_text(out, "name", first);
      return;
    case kUserRole:
      if (!take(request, {1, 2}, &first, &second)) return;
      append_text(out, "name", first);
      append_text(out, "role", second);
      return;
    case kRoleMay: {
      if (!take(request, {1, 0}, &first, &second)) return;
      append_text(out, "name", first);
      if (Inner permission(2, 2); keys && permission.read(request)) {
        append_key(out, permission.bytes(), {2, 3});
      }
      return;
    }
    case kRoleMayNot:
      if (!take(request, {1, 0}, &first, &second)) return;
      append_text(out, "name", first);
      if (keys) append_key(out, request, {2, 3});
      return;
  }
}

bool append_watch(std::string& out, std::string_view message, bool keys) {
  constexpr uint32_t kCreation = 1, kProgress = 3;
  Inner wanted(kCreation, kProgress);
  if (!keys || !wanted.read(message) || wanted.number() != kCreation) return false;
  append_key(out, wanted.bytes(), {1, 2});
  return true;
}

void append_text(std::string& out, std::string_view name, std::string_view text) {
  const std::string_view shown = cut(text);
  const bool readable = is_utf8(shown);
  out += ",\"";
  out += name;
  out += readable ? "\":\"" : "_base64\":\"";
  if (readable) {
    append_escaped(out, shown);
  } else {
    out += absl::Base64Escape(to_absl(shown));
  }
  out += '"';
  if (shown.size() == text.size()) return;
  append_number(out, cat(name, "_bytes"), text.size());
}

void append_line(std::string& out, const AccessLine& line) {
  out += "{\"ts\":\"";
  out += line.time;
  out += '"';
  if (!line.event.empty()) append_text(out, "event", line.event);
  append_text(out, "remote", line.remote);
  if (line.through_gateway) out += ",\"gateway\":true";
  if (!line.user.empty()) append_text(out, "user", line.user);
  if (!line.common_name.empty()) append_text(out, "common_name", line.common_name);
  out += ",\"method\":\"";
  out += line.method;
  out += '"';
  out += line.request;
  if (line.ended) {
    append_number(out, "received", line.received);
    append_number(out, "received_bytes", line.received_bytes);
    append_number(out, "sent", line.sent);
    append_number(out, "sent_bytes", line.sent_bytes);
    out += ",\"code\":\"";
    out += absl::StatusCodeToString(line.code);
    out += '"';
    append_took(out, line.took);
  }
  out += "}\n";
}

void append_dropped(std::string& out, std::string_view time, uint64_t lines) {
  out += "{\"ts\":\"";
  out += time;
  out += "\",\"event\":\"dropped\"";
  append_number(out, "lines", lines);
  out += "}\n";
}

}  // namespace keelson::server
