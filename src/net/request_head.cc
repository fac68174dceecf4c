#include "net/request_head.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "net/grpc_codec.h"

namespace keelson::net {
namespace {

std::string_view view(nghttp2_rcbuf* buffer) {
  if (!buffer) return {};
  nghttp2_vec vec = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(vec.base), vec.len};
}

nghttp2_rcbuf* shared(nghttp2_rcbuf* buffer) {
  nghttp2_rcbuf_incref(buffer);
  return buffer;
}

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// Not shown as metadata (grpc-go's reserved names), besides the known ones.
bool is_reserved(std::string_view name) {
  switch (name.size()) {
    case 2:
      return name == "te";
    case 10:
      return name == "user-agent";
    case 11:
      return name == "grpc-status";
    case 12:
      return name == "grpc-message";
    case 17:
      return name == "grpc-message-type";
    case 20:
      return name == "grpc-accept-encoding";
    default:
      return false;
  }
}

}  // namespace

HeadMemo::~HeadMemo() {
  for (Field& field : fields_) {
    if (!field.name) continue;
    nghttp2_rcbuf_decref(field.name);
    nghttp2_rcbuf_decref(field.value);
  }
}

void HeadMemo::note(size_t place, const Field& field) {
  if (place >= kFields || field.bytes > kLongest) return;
  Field& old = fields_[place];
  nghttp2_rcbuf_incref(field.name);
  nghttp2_rcbuf_incref(field.value);
  if (old.name) {
    nghttp2_rcbuf_decref(old.name);
    nghttp2_rcbuf_decref(old.value);
  }
  old = field;
}

void RequestHead::swap(RequestHead& other) {
  std::swap(known_, other.known_);
  fields_.swap(other.fields_);
  std::swap(bytes_, other.bytes_);
  std::swap(added_, other.added_);
  std::swap(hosts_, other.hosts_);
  std::swap(regular_seen_, other.regular_seen_);
  std::swap(fault_, other.fault_);
}

void RequestHead::clear() {
  for (Field& field : fields_) {
    nghttp2_rcbuf_decref(field.name);
    nghttp2_rcbuf_decref(field.value);
  }
  fields_.clear();
  if (fields_.capacity() > kKeptFields) std::vector<Field>().swap(fields_);
  for (nghttp2_rcbuf*& buffer : known_) {
    if (buffer) nghttp2_rcbuf_decref(std::exchange(buffer, nullptr));
  }
  bytes_ = added_ = hosts_ = 0;
  regular_seen_ = false;
  fault_ = Fault::kNone;
}

int RequestHead::known_index(std::string_view name) {
  switch (name.size()) {
    case 4:
      return name == "host" ? kHost : -1;
    case 5:
      return name == ":path" ? kPath : -1;
    case 7:
      return name == ":method" ? kMethod : name == ":scheme" ? kScheme : -1;
    case 10:
      return name == ":authority" ? kAuthority : -1;
    case 12:
      return name == "content-type" ? kContentType : name == "grpc-timeout" ? kTimeout : -1;
    case 13:
      return name == "grpc-encoding" ? kEncoding : -1;
    default:
      return -1;
  }
}

// Whether it may be in a head at all.
bool RequestHead::check(HeadMemo::Field* field) {
  const std::string_view text = view(field->name);
  const std::string_view content = view(field->value);
  if (!nghttp2_check_header_name(bytes_of(text), text.size()) ||
      !nghttp2_check_header_value(bytes_of(content), content.size())) {
    return false;
  }
  // The one field of a connection's own that grpc-go refuses.
  if (text == "connection") return false;
  field->known = static_cast<int8_t>(known_index(text));
  return text[0] != ':' || field->known >= 0;
}

void RequestHead::add(nghttp2_rcbuf* name, nghttp2_rcbuf* value, size_t limit, HeadMemo* memo) {
  if (fault_ != Fault::kNone) return;
  const size_t place = added_++;
  HeadMemo::Field field{name, value};
  bool is_new = true;
  if (place < HeadMemo::kFields) {
    const HeadMemo::Field& last = memo->fields_[place];
    is_new = last.name != name || last.value != value;
    if (!is_new) field = last;
  }
  if (is_new) {
    const size_t bytes = view(name).size() + view(value).size() + 32;
    field.bytes = static_cast<uint32_t>(std::min<size_t>(bytes, UINT32_MAX));
  }
  bytes_ += field.bytes;
  if (bytes_ > limit) {
    fault_ = Fault::kTooLong;
    return;
  }
  if (is_new && !check(&field)) {
    fault_ = Fault::kMalformed;
    return;
  }
  take(field);
  if (is_new && fault_ == Fault::kNone) memo->note(place, field);
}

void RequestHead::take(const HeadMemo::Field& field) {
  if (field.known >= 0 && field.known <= kLastPseudo) {
    if (known_[field.known] || regular_seen_) {
      fault_ = Fault::kMalformed;
      return;
    }
  } else {
    regular_seen_ = true;
    if (field.known < 0) {
      fields_.push_back({shared(field.name), shared(field.value), {}});
      return;
    }
    if (field.known == kHost) ++hosts_;
    if (known_[field.known]) nghttp2_rcbuf_decref(known_[field.known]);
  }
  known_[field.known] = shared(field.value);
}

std::string_view RequestHead::known(Known which) const { return view(known_[which]); }

std::string_view RequestHead::authority() const {
  return known(known_[kAuthority] ? kAuthority : kHost);
}

void RequestHead::each(absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  for (const Field& field : fields_) visit(view(field.name), view(field.value));
}

std::optional<std::string_view> RequestHead::metadata(std::string_view name) const {
  if (is_reserved(name)) return std::nullopt;
  for (const Field& field : fields_) {
    if (view(field.name) != name) continue;
    return name.ends_with("-bin") ? std::string_view(field.decoded) : view(field.value);
  }
  return std::nullopt;
}

void RequestHead::each_metadata(
    absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  for (const Field& field : fields_) {
    if (!is_reserved(view(field.name))) visit(view(field.name), view(field.value));
  }
}

absl::Status RequestHead::decode_binary() {
  for (Field& field : fields_) {
    if (!view(field.name).ends_with("-bin")) continue;
    if (!decode_base64(view(field.value), &field.decoded)) {
      return absl::InternalError(cat("malformed binary metadata ", quoted(view(field.value)),
                                     " in header ", quoted(view(field.name)),
                                     ": illegal base64 data"));
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::net
