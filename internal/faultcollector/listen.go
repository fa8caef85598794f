package faultcollector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// listenLoopback listens at an address, or at one of its own when it is empty.
// That is of 127.0.0.0/8 where the system allows it: on 127.0.0.1 somebody else
// might be given the port while Refuse has closed it.
func listenLoopback(at string) (net.Listener, error) {
	var config net.ListenConfig
	if at == "" {
		own := fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if l, err := config.Listen(context.Background(), "tcp", own); err == nil {
			return l, nil
		}
		return config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		l, err := config.Listen(context.Background(), "tcp", at)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return l, err
		}
		<-time.After(20 * time.Millisecond)
	}
}

func refused(network, target string) error {
	err := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	return &net.OpError{Op: "dial", Net: network, Addr: address(target), Err: err}
}

// address is host:port.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// pipeListener makes connections in memory.
type pipeListener struct {
	address  address
	accepted chan net.Conn
	closed   chan struct{}
	close    sync.Once
}

func listenInMemory(at string) (net.Listener, error) {
	return &pipeListener{address: address(at), accepted: make(chan net.Conn), closed: make(chan struct{})}, nil
}

func (l *pipeListener) dial(ctx context.Context, network string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		return nil, refused(network, string(l.address))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Addr() net.Addr { return l.address }

func (l *pipeListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}
