#include "net/http_reply.h"

#include <ctime>

#include "absl/strings/match.h"
#include "base/text.h"

namespace keelson::net {

HttpReplyRef SinkReply::handle_for(std::shared_ptr<SinkReply> reply) {
  HttpReply* raw = reply.get();
  return HttpReplyRef(raw, [reply = std::move(reply)](HttpReply*) mutable {
    if (reply->over()) return;
    Loop& loop = reply->loop();
    loop.post([reply = std::move(reply)] { reply->abandoned(); });
  });
}

void SinkReply::send(HttpResponse response) {
  if (!sink_ || begun_) return;
  begun_ = true;
  sink_->write_head(response, true);
  sink_->write_piece(response.body);
  done();
}

void SinkReply::begin(HttpResponse response) {
  if (!sink_ || begun_) return;
  begun_ = true;
  sink_->write_head(response, false);
  sink_->write_piece(response.body);
}

void SinkReply::write(MessageParts piece) {
  if (sink_ && begun_) sink_->write_piece(piece);
}

void SinkReply::end() {
  if (sink_ && begun_) done();
}

void SinkReply::set_reading(bool on) {
  if (!sink_ || std::exchange(reading_, on) == on) return;
  if (!on) return sink_->pause_body();
  // Not from inside the caller: it may be in the middle of on_body().
  loop().post([self = shared_from_this()] {
    if (self->sink_ && self->reading_) self->sink_->resume_body();
  });
}

void SinkReply::abort() {
  if (sink_) sink_->abort();
}

bool SinkReply::upgrade(HttpResponse head, ProtocolFactory make) {
  if (!sink_ || begun_ || !sink_->upgrade(head, std::move(make))) return false;
  over_.store(true);
  gone_ = nullptr;
  drain_ = nullptr;
  sink_ = nullptr;
  return true;
}

void SinkReply::detach() {
  sink_ = nullptr;
  writable_ = nullptr;
  drain_ = nullptr;
  if (over_.exchange(true)) return;
  if (Task task = std::exchange(gone_, nullptr)) task();
}

void SinkReply::done() {
  over_.store(true);
  gone_ = nullptr;
  drain_ = nullptr;
  std::exchange(sink_, nullptr)->complete();
}

void SinkReply::abandoned() {
  if (!sink_) return;
  if (begun_) return sink_->abort();
  HttpResponse response;
  response.status = 500;
  send(std::move(response));
}

// Made once a second on each thread.
std::string http_date() {
  thread_local time_t last = -1;
  thread_local std::string made;
  const time_t now = time(nullptr);
  if (std::exchange(last, now) == now) return made;
  tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  made = text;
  return made;
}

bool has_field(const HttpResponse& response, std::string_view name) {
  for (const HttpField& field : response.fields) {
    if (absl::EqualsIgnoreCase(to_absl(field.name), to_absl(name))) return true;
  }
  return false;
}

HttpResponse not_found() {
  HttpResponse response;
  response.status = 404;
  response.fields = {{"Content-Type", "text/plain; charset=utf-8"},
                     {"X-Content-Type-Options", "nosniff"}};
  response.body = MessageParts::copy("404 page not found\n");
  return response;
}

}  // namespace keelson::net
