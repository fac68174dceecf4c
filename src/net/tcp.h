// net/tcp.h
//
// What every TCP socket is told, ours and those that we accept.

#pragma once

namespace keelson::net {

// No waiting for more to send; a peer that has gone without a word is noticed within a minute or
// so: probes after 30 s of silence (etcd's number), and an end when nothing was acknowledged for a
// minute. The latter is also for a peer that lives and has let its window stay shut for that long:
// it has stopped reading, and what it holds here is not for ever.
void set_tcp_options(int fd);

}  // namespace keelson::net
