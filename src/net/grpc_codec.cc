#include "net/grpc_codec.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "base/endian.h"
#include "base/errors.h"
#include "base/text.h"
#include "base/utf8.h"

namespace keelson::net {
namespace {

constexpr size_t kFirstBuffer = 16 << 10;

bool is_plain(unsigned char c) { return c >= 0x20 && c <= 0x7e && c != '%'; }

void append_escaped(std::string* out, std::string_view bytes) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    out->push_back('%');
    out->push_back(kHex[byte >> 4]);
    out->push_back(kHex[byte & 15]);
  }
}

int64_t nanoseconds_per(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

// Ends a zlib stream whatever way the function is left.
struct Inflater {
  z_stream stream{};
  bool ready = inflateInit2(&stream, 15 + 16) == Z_OK;  // 16: gzip, not zlib
  ~Inflater() {
    if (ready) inflateEnd(&stream);
  }
};

}  // namespace

absl::Status answer_too_long(size_t bytes) {
  return absl::ResourceExhaustedError(
      cat("grpc: trying to send message larger than max (", bytes, " vs. ", kMostToSend, ")"));
}

absl::Status message_too_long(size_t bytes) {
  return absl::ResourceExhaustedError(
      cat("trying to send message larger than max (", bytes, " vs. ", kMostToSend, ")"));
}

absl::StatusOr<Duration> parse_grpc_timeout(std::string_view text) {
  auto bad = [&](const char* why) {
    return absl::InternalError(
        cat("malformed grpc-timeout: transport: timeout ", why, ": ", quoted(text)));
  };
  if (text.size() < 2) return bad("string is too short");
  if (text.size() > 9) return bad("string is too long");
  int64_t unit = nanoseconds_per(text.back());
  if (unit == 0) return bad("unit is not recognized");
  int64_t count = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') {
      return absl::InternalError(cat("malformed grpc-timeout: strconv.ParseUint: parsing ",
                                     quoted(text.substr(0, text.size() - 1)), ": invalid syntax"));
    }
    count = count * 10 + (c - '0');
  }
  if (count > INT64_MAX / unit) return Duration::max();
  return Duration(count * unit);
}

std::string percent_encode(std::string_view text) {
  if (std::all_of(text.begin(), text.end(),
                  [](char c) { return is_plain(static_cast<unsigned char>(c)); })) {
    return std::string(text);
  }
  std::string out;
  while (!text.empty()) {
    size_t length = utf8_length(text);
    if (length == 0) {
      append_escaped(&out, "\xef\xbf\xbd");
      length = 1;
    } else if (length == 1 && is_plain(static_cast<unsigned char>(text[0]))) {
      out.push_back(text[0]);
    } else {
      append_escaped(&out, text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return out;
}

bool decode_base64(std::string_view text, std::string* out) {
  return absl::Base64Unescape(to_absl(text), out);
}

std::string encode_base64(std::string_view bytes) {
  std::string out = absl::Base64Escape(to_absl(bytes));
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  static constexpr std::string_view kSpecial = "\"\\\a\b\f\n\r\t\v", kLetters = "\"\\abfnrtv";
  std::string out = "\"";
  const bool all = text.size() <= kMostRepeated;
  text = repeated(text);
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const size_t length = utf8_length(text), special = kSpecial.find(text[0]);
    if (special != kSpecial.npos) {
      out.push_back('\\');
      out.push_back(kLetters[special]);
    } else if (length > 0 && byte >= 0x20 && byte != 0x7f) {
      out += text.substr(0, length);
    } else {
      out += "\\x";
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  out.push_back('"');
  if (!all) out += "...";
  return out;
}

bool is_grpc_content_type(std::string_view value) {
  constexpr std::string_view kBase = "application/grpc";
  if (!value.starts_with(kBase)) return false;
  return value.size() == kBase.size() || value[kBase.size()] == '+' || value[kBase.size()] == ';';
}

absl::StatusOr<Bytes> gunzip(std::string_view compressed, size_t max) {
  Inflater in;
  if (!in.ready)
    return absl::InternalError("grpc: failed to decompress the message: out of memory");
  in.stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  in.stream.avail_in = static_cast<uInt>(compressed.size());
  std::string out;
  while (true) {
    size_t before = out.size();
    // At most one byte more than allowed: enough to know.
    size_t room = std::min(std::max<size_t>(before, 4096), max + 1 - before);
    out.resize(before + room);
    in.stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    in.stream.avail_out = static_cast<uInt>(room);
    int result = inflate(&in.stream, Z_NO_FLUSH);
    out.resize(before + room - in.stream.avail_out);
    if (out.size() > max) {
      return absl::ResourceExhaustedError(
          cat("grpc: received message after decompression larger than max ", max));
    }
    if (result == Z_STREAM_END) break;
    if (result != Z_OK) {
      const char* why = result == Z_BUF_ERROR ? "unexpected EOF" : "gzip: invalid data";
      return absl::InternalError(cat("grpc: failed to decompress the message: ", why));
    }
  }
  return Bytes::copy(out);
}

// ---- MessageReader

void MessageReader::reset(size_t max_message, bool gzip) {
  max_ = max_message;
  gzip_ = gzip;
  prefix_size_ = 0;
  buffer_ = Bytes();
  message_ = Bytes();
  write_ = nullptr;
  error_ = absl::OkStatus();
}

MessageReader::Step MessageReader::bad(absl::Status status) {
  error_ = std::move(status);
  buffer_ = Bytes();
  return Step::kBad;
}

MessageReader::Step MessageReader::feed(std::string_view* in) {
  if (prefix_size_ < kGrpcPrefix) {
    size_t n = std::min(kGrpcPrefix - prefix_size_, in->size());
    std::memcpy(prefix_ + prefix_size_, in->data(), n);
    prefix_size_ += n;
    in->remove_prefix(n);
    if (prefix_size_ < kGrpcPrefix) return Step::kNeedMore;
    return begin_body(in);
  }
  while (received_ < length_) {
    if (in->empty()) return Step::kNeedMore;
    if (received_ == buffer_.size()) grow();
    size_t n = std::min({in->size(), buffer_.size() - received_, length_ - received_});
    std::memcpy(write_ + received_, in->data(), n);
    received_ += n;
    in->remove_prefix(n);
  }
  Bytes body = buffer_.size() == length_ ? std::move(buffer_) : buffer_.slice(0, length_);
  buffer_ = Bytes();
  return finish(std::move(body));
}

MessageReader::Step MessageReader::begin_body(std::string_view* in) {
  const auto flag = static_cast<unsigned char>(prefix_[0]);
  length_ = load_big32(prefix_ + 1);
  received_ = 0;
  if (length_ > max_) return bad(errors::MessageTooLarge(length_, max_));
  if (flag > 1) {
    return bad(absl::InternalError(cat("grpc: received unexpected payload format ", int{flag})));
  }
  if (flag == 1 && !gzip_) {
    return bad(absl::InternalError("grpc: compressed flag set with identity or empty encoding"));
  }
  if (in->size() >= length_) {
    // The usual case: all of it is here, and one copy frees the read buffer.
    Bytes body = Bytes::copy(in->substr(0, length_));
    in->remove_prefix(length_);
    return finish(std::move(body));
  }
  size_t first = std::min(length_, std::max(kFirstBuffer, in->size()));
  buffer_ = Bytes::build(first, [&](char* out) { write_ = out; });
  return feed(in);
}

void MessageReader::grow() {
  size_t size = std::min(length_, buffer_.size() * 2);
  char* to = nullptr;
  Bytes bigger = Bytes::build(size, [&](char* out) {
    to = out;
    std::memcpy(out, write_, received_);
  });
  buffer_ = std::move(bigger);
  write_ = to;
}

MessageReader::Step MessageReader::finish(Bytes body) {
  bool compressed = prefix_[0] == 1;
  prefix_size_ = 0;
  write_ = nullptr;
  if (compressed) {
    auto plain = gunzip(body, max_);
    if (!plain.ok()) return bad(plain.status());
    body = *std::move(plain);
  }
  message_ = std::move(body);
  return Step::kMessage;
}

}  // namespace keelson::net
