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

// Their numbers; 0: none. The last one of each counts, as protobuf has it.
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

// Of a transaction.
class Operations {
 public:
  explicit Operations(bool keys) : keys_(keys) {}

  void add_compare(std::string_view compare) {
    ++compares_;
    add("compare", compare, {3, 64});
  }
  void add_op(std::string_view op, uint64_t& count) {
    ++count;
    static constexpr std::string_view kNames[] = {"", "range", "put", "delete_range", "txn"};
    constexpr uint32_t kPut = 2, kTxnOp = 4;
    pb::Reader reader(op);
    for (pb::Field field; reader.next(&field);) {
      if (field.type != pb::kBytes || field.number == 0 || field.number > kTxnOp) continue;
      const Wanted wanted = field.number == kTxnOp ? Wanted{0, 0}
                            : field.number == kPut ? Wanted{1, 0}
                                                   : Wanted{1, 2};
      add(kNames[field.number], field.bytes, wanted);
    }
  }
  void append(std::string& out) const {
    append_number(out, "compares", compares_);
    append_number(out, "successes", successes);
    append_number(out, "failures", failures);
    if (!keys_) return;
    out += ",\"operations\":[";
    out += list_;
    out += ']';
    if (left_out_ > 0) append_number(out, "left_out", left_out_);
  }

  uint64_t successes = 0, failures = 0;

 private:
  void add(std::string_view what, std::string_view message, Wanted wanted) {
    if (!keys_) return;
    if (list_.size() >= kMostOfKeys) {
      ++left_out_;
      return;
    }
    if (!list_.empty()) list_ += ',';
    list_ += "{\"op\":\"";
    list_ += what;
    list_ += '"';
    // What is nested in it is counted as one.
    if (wanted.first != 0) append_key(list_, message, wanted);
    list_ += '}';
  }

  const bool keys_;
  uint64_t compares_ = 0;
  std::string list_;
  uint64_t left_out_ = 0;
};

void append_txn(std::string& out, std::string_view request, bool keys) {
  Operations operations(keys);
  pb::Reader reader(request);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(1, pb::kBytes)) operations.add_compare(field.bytes);
    if (field.is(2, pb::kBytes)) operations.add_op(field.bytes, operations.successes);
    if (field.is(3, pb::kBytes)) operations.add_op(field.bytes, operations.failures);
  }
  if (reader.ok()) operations.append(out);
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += c;
    } else if (byte >= 0x20 && byte != 0x7f) {
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
      if (keys && take(request, {1, 0}, &first, &second)) append_key(out, first, {1, 0});
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
    case kRoleMay:
      if (!take(request, {1, 2}, &first, &second)) return;
      append_text(out, "name", first);
      if (keys) append_key(out, second, {2, 3});
      return;
    case kRoleMayNot:
      if (!take(request, {1, 0}, &first, &second)) return;
      append_text(out, "name", first);
      if (keys) append_key(out, request, {2, 3});
      return;
  }
}

bool append_watch(std::string& out, std::string_view message, bool keys) {
  std::string_view creation, none;
  if (!keys || !take(message, {1, 0}, &creation, &none)) return false;
  if (creation.data() == nullptr) return false;
  append_key(out, creation, {1, 2});
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
