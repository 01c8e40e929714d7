// Command yardstick builds a tree of images in one solve, through BuildKit's own Go client: the least that such a
// build costs. It reads the tree as JSON from standard input and pushes all images as one index.
//
//	yardstick ADDRESS REFERENCE [PREFIX] <tree.json
//
// The tree is a list of {"name", "base", "files": {PATH: TEXT}}; `base` is the name of an image before it, or a
// reference. With PREFIX, go-containerregistry then copies each image to PREFIX/NAME, under the tag of REFERENCE: it mounts
// what the registry has.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

type image struct {
	Name  string            `json:"name"`
	Base  string            `json:"base"`
	Files map[string]string `json:"files"`
}

// platform makes the images of one index differ: an index has one image for each platform.
func (i image) platform() exptypes.Platform {
	return exptypes.Platform{ID: i.Name, Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64", Variant: i.Name}}
}

// definitions returns what makes each image, in the order of the tree.
func definitions(ctx context.Context, tree []image) ([]*llb.Definition, error) {
	states := map[string]llb.State{}
	var all []*llb.Definition
	for _, image := range tree {
		state, inTree := states[image.Base]
		if !inTree {
			state = llb.Image(image.Base)
		}
		paths := make([]string, 0, len(image.Files))
		for path := range image.Files {
			paths = append(paths, path)
		}
		slices.Sort(paths)
		for _, file := range paths {
			action := llb.Mkdir(path.Dir(file), 0o755, llb.WithParents(true)).Mkfile(file, 0o644, []byte(image.Files[file]))
			state = state.File(action)
		}
		states[image.Name] = state
		definition, err := state.Marshal(ctx, llb.LinuxAmd64)
		if err != nil {
			return nil, err
		}
		all = append(all, definition)
	}
	return all, nil
}

// build solves all images and returns them as one result.
func build(tree []image, all []*llb.Definition) gateway.BuildFunc {
	return func(ctx context.Context, engine gateway.Client) (*gateway.Result, error) {
		references := make([]gateway.Reference, len(tree))
		group, ctx := errgroup.WithContext(ctx)
		for index, definition := range all {
			group.Go(func() error {
				solved, err := engine.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB(), Evaluate: true})
				if err != nil {
					return err
				}
				references[index], err = solved.SingleRef()
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		result := gateway.NewResult()
		platforms := exptypes.Platforms{}
		for index, image := range tree {
			result.AddRef(image.Name, references[index])
			platforms.Platforms = append(platforms.Platforms, image.platform())
		}
		encoded, err := json.Marshal(platforms)
		if err != nil {
			return nil, err
		}
		result.AddMeta(exptypes.ExporterPlatformsKey, encoded)
		return result, nil
	}
}

func run(ctx context.Context, address, reference string) error {
	var tree []image
	if err := json.NewDecoder(os.Stdin).Decode(&tree); err != nil {
		return err
	}
	engine, err := client.New(ctx, address)
	if err != nil {
		return err
	}
	defer engine.Close()
	all, err := definitions(ctx, tree)
	if err != nil {
		return err
	}
	push := client.ExportEntry{
		Type:  client.ExporterImage,
		Attrs: map[string]string{"name": reference, "push": "true", "oci-mediatypes": "true", "store": "false"},
	}
	status := make(chan *client.SolveStatus)
	go func() {
		for range status {
		}
	}()
	_, err = engine.Build(ctx, client.SolveOpt{Exports: []client.ExportEntry{push}}, "", build(tree, all), status)
	return err
}

// copies is how many images are copied at the same time.
const copies = 16

// copyAll copies each image of an index to a repository of its own, under the tag that the index has.
func copyAll(ctx context.Context, reference, prefix string) error {
	source, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	puller, err := remote.NewPuller()
	if err != nil {
		return err
	}
	pusher, err := remote.NewPusher()
	if err != nil {
		return err
	}
	pushed, err := puller.Get(ctx, source)
	if err != nil {
		return err
	}
	index, err := pushed.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copies)
	for _, entry := range manifest.Manifests {
		group.Go(func() error {
			target, err := name.NewTag(prefix + "/" + entry.Platform.Variant + ":" + source.TagStr())
			if err != nil {
				return err
			}
			image, err := puller.Get(ctx, source.Digest(entry.Digest.String()))
			if err != nil {
				return err
			}
			return pusher.Push(ctx, target, image)
		})
	}
	return group.Wait()
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: yardstick ADDRESS REFERENCE [PREFIX] <tree.json")
		os.Exit(2)
	}
	ctx := context.Background()
	err := run(ctx, os.Args[1], os.Args[2])
	if err == nil && len(os.Args) == 4 {
		err = copyAll(ctx, os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "yardstick:", err)
		os.Exit(1)
	}
}
